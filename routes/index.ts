import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import manifest from '../package.json' with { type: 'json' }
import { NO_HTTP, problems } from '../src/schemas/problem.ts'

const Home = Type.Object(
  {
    service: Type.String(),
    version: Type.String(),
    links: Type.Record(Type.String(), Type.String(), { description: 'Paths on this service, by name' }),
  },
  { 'x-name': 'Home', description: 'Where to go on' },
)

/** Links for a person or a program that knows only the address of the service. */
const LINKS = {
  docs: '/docs',
  openapi: '/openapi.json',
  openapiYaml: '/openapi.yaml',
  chat: '/api/agent/chat',
  conversations: '/api/agent/conversations',
  live: '/livez',
  ready: '/readyz',
}

/** The links as callers use them: with the path of PUBLIC_URL. */
const linksUnder = (base: string, links: Record<string, string>) =>
  Object.fromEntries(Object.entries(links).map(([name, path]) => [name, base + path]))

const home: FastifyPluginAsyncTypebox<{ playground: boolean }> = async (app, { playground }) => {
  const links = playground ? { playground: '/playground', ...LINKS } : LINKS
  app.get('/', {
    config: { access: 'public' },
    schema: {
      operationId: 'home',
      summary: 'Where everything is',
      tags: ['operations'],
      response: {
        200: {
          description: 'The paths to go on with; a page when `Accept` asks for HTML.',
          content: {
            'application/json': { schema: Home },
            'text/html': { schema: Type.String() },
          },
        },
        ...problems(...NO_HTTP),
      },
    },
    handler: async ({ headers }, reply) => {
      reply.header('vary', 'Accept')
      const { name: service, version } = manifest
      if (!headers.accept?.includes('text/html'))
        return reply.send({ service, version, links: linksUnder(app.publicPath, links) })
      return reply
        .headers({
          'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        })
        .type('text/html; charset=utf-8')
        .serializer(String)
        .send(page(service, version, app.publicPath, playground) as never)
    },
  })
}

const page = (service: string, version: string, base: string, playground: boolean) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${service}</title>
<style>body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em }</style>
<h1>${service} ${version}</h1>
<p>An HTTP API in front of an AI agent: start a turn, then poll, wait for, stream or cancel the answer.</p>
<ul>${
  playground
    ? `
<li><a href="${base}/playground">Playground, to talk with the agent</a>`
    : ''
}
<li><a href="${base}/docs">API description, to read and to try out</a>
<li><a href="${base}/openapi.json">OpenAPI document</a>, <a href="${base}/openapi.yaml">as YAML</a>
<li><a href="${base}/readyz">Whether this instance is ready</a>
</ul>
</html>
`

export default home
