import swaggerUi from '@fastify/swagger-ui'
import type { FastifyPluginAsync } from 'fastify'
import { docsToken, isLocal } from '../src/auth/docs-token.ts'
import type { AppConfig } from '../src/config.ts'
import { problem } from '../src/errors.ts'
import { COMPACT_STYLE, collapsedRefusals } from '../src/http/swagger-ui.ts'

/**
 * Swagger UI under /docs. With the embedded signing secret, and only on this machine, it opens authorised:
 * the page asks for a token, which nobody gets who came by a foreign name or from a foreign page.
 */
const docs: FastifyPluginAsync<{ config: AppConfig }> = async (app, { config }) => {
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, access: 'public' }
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    theme: { css: [{ filename: 'compact.css', content: COMPACT_STYLE }] },
    uiConfig: {
      persistAuthorization: false,
      onComplete: authorise,
      plugins: [collapsedRefusals],
      defaultModelsExpandDepth: 0,
    },
  })

  app.get('/docs/token', { schema: { hide: true } }, async ({ headers }, reply) => {
    const samePage = [undefined, 'same-origin', 'none'].includes(headers['sec-fetch-site'] as string)
    if (config.embeddedSecret === undefined || !samePage || !isLocal(config.host, headers.host)) {
      throw problem('not_found')
    }
    return reply.send({ token: await docsToken(config, config.embeddedSecret) })
  })
}

/** Runs in the browser, as text inside Swagger UI's own script, which has `ui` in scope. */
declare const ui: { preauthorizeApiKey(name: string, token: string): void }
async function authorise() {
  const answer = await fetch('/docs/token')
  if (answer.ok) ui.preauthorizeApiKey('bearer', ((await answer.json()) as { token: string }).token)
}

export default docs
