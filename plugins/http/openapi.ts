import swagger from '@fastify/swagger'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import manifest from '../../package.json' with { type: 'json' }
import { API_OVERVIEW } from '../../src/openapi/api-overview.ts'
import { documentRoute } from '../../src/openapi/document-route.ts'
import { polishDocument } from '../../src/openapi/polish-document.ts'
import { shareResponses } from '../../src/openapi/share-responses.ts'
import { withSharedHeaders } from '../../src/openapi/shared-headers.ts'

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
        { name: 'agents', description: 'Who may be asked' },
        { name: 'conversations', description: 'Threads of messages: what was said, in order' },
        { name: 'events', description: 'What happens, as it happens' },
        { name: 'usage', description: 'What your runs have used' },
        { name: 'webhooks', description: 'What was sent to the receivers of webhooks' },
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
    transform: ({ schema, url, route }) => ({ schema: documentRoute(schema, route, app.publicPath), url }),
    refResolver: { buildLocalReference: (json, _baseUri, _fragment, i) => String(json.$id ?? `schema-${i}`) },
  })

  const hidden = { config: { access: 'public' }, schema: { hide: true } } as const
  app.get('/openapi.json', hidden, async () => app.swagger())
  app.get('/openapi.yaml', hidden, async (_request, reply) =>
    reply.type('application/yaml').send(app.swagger({ yaml: true })),
  )
}

export default fp(openapi, { name: 'openapi', fastify: '5.x', dependencies: ['access', 'errors'] })
