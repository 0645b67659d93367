import swaggerUi from '@fastify/swagger-ui'
import type { FastifyPluginAsync } from 'fastify'
import { docsToken, isLocal } from '../../src/auth/docs-token.ts'
import type { AppConfig } from '../../src/config/config.ts'
import { problem } from '../../src/errors.ts'
import { COMPACT_STYLE, collapsedRefusals } from '../../src/openapi/swagger-ui.ts'

/**
 * Swagger UI under /docs. With the embedded signing secret, the page fetches a token for a browser on this machine, and
 * opens authorised.
 */
const docs: FastifyPluginAsync<{ config: AppConfig }> = async (app, { config }) => {
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, access: 'public' }
  })
  // A foreign page that shows Swagger UI in a frame could make its user click "Execute".
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('content-security-policy', "frame-ancestors 'none'")
  })
  const externalDocs = { description: 'Playground: talk with the agent', url: `${app.publicPath}/playground` }
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    theme: { css: [{ filename: 'compact.css', content: COMPACT_STYLE }] },
    indexPrefix: app.publicPath,
    transformSpecification: (document) => (config.playground ? { ...document, externalDocs } : document),
    // The function changes nothing of what it is handed.
    transformSpecificationClone: false,
    uiConfig: {
      persistAuthorization: false,
      onComplete: authorise,
      plugins: [collapsedRefusals],
      defaultModelsExpandDepth: 0,
    },
    uiHooks: {
      // The package would redirect to an address without the path of PUBLIC_URL.
      onRequest: (request, reply, done) => {
        if (request.routeOptions.url === '/docs/static/index.html') reply.redirect(`${app.publicPath}/docs/`)
        else done()
      },
    },
  })

  app.get('/docs/token', { schema: { hide: true } }, async ({ raw, originalUrl }, reply) => {
    const { headers, httpVersion, socket } = raw
    const asked = { headers, httpVersion, target: originalUrl, remoteAddress: socket.remoteAddress }
    if (config.embeddedSecret === undefined || !isLocal(config.host, asked)) throw problem('not_found')
    return reply.send({ token: await docsToken(config, config.embeddedSecret) })
  })
}

/** Runs in the browser, as text inside Swagger UI's own script, which has `ui` in scope. */
declare const ui: { preauthorizeApiKey(name: string, token: string): void }
declare const location: { pathname: string }
async function authorise() {
  const base = location.pathname.replace(/\/(index\.html)?$/, '')
  const answer = await fetch(`${base}/token`)
  if (answer.ok) ui.preauthorizeApiKey('bearer', ((await answer.json()) as { token: string }).token)
}

export default docs
