import swagger from '@fastify/swagger'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import manifest from '../package.json' with { type: 'json' }
import { API_OVERVIEW } from '../src/http/api-overview.ts'
import { documentRoute } from '../src/http/document-route.ts'
import { polishDocument } from '../src/http/polish-document.ts'
import { shareResponses } from '../src/http/share-responses.ts'
import { withSharedHeaders } from '../src/http/shared-headers.ts'

/** Makes the API description out of the routes' schemas. Has to be registered before the routes. */
const openapi: FastifyPluginAsync<{ publicUrl?: string | undefined }> = async (app, { publicUrl }) => {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Agent chat service',
        version: manifest.version,
        summary: manifest.description,
        description: API_OVERVIEW,
        license: { name: 'MIT', identifier: 'MIT' } as { name: string },
      },
      security: [{ bearer: [] }],
      servers: [{ url: publicUrl ?? '/', description: 'This instance' }],
      tags: [
        { name: 'chat', description: 'Start turns of the agent, follow their runs, cancel them' },
        { name: 'conversations', description: 'Threads of messages: what was said, in order' },
        { name: 'operations', description: 'Probes of this instance, and what problem codes mean' },
      ],
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'JWT',
            description:
              'Scopes in `scope` or `scopes`: `agent:read`, `agent:write`, and `agent:delegate` to name the user in `X-Effective-User`.',
          },
        },
      },
    },
    transformObject: (document) =>
      'openapiObject' in document
        ? shareResponses(withSharedHeaders(polishDocument(document.openapiObject)))
        : {},
    transform: ({ schema, url, route }) => ({ schema: documentRoute(schema, route), url }),
    refResolver: { buildLocalReference: (json, _baseUri, _fragment, i) => String(json.$id ?? `schema-${i}`) },
  })

  const hidden = { config: { access: 'public' }, schema: { hide: true } } as const
  app.get('/openapi.json', hidden, async () => app.swagger())
  app.get('/openapi.yaml', hidden, async (_request, reply) =>
    reply.type('application/yaml').send(app.swagger({ yaml: true })),
  )
}

export default fp(openapi, { name: 'openapi', fastify: '5.x', dependencies: ['access', 'errors'] })
