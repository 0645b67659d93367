import type { FastifyPluginAsync } from 'fastify'
import { problem } from '../../src/errors.ts'
import { readPlayground } from '../../src/playground/assets.ts'

const PUBLIC = { config: { access: 'public' }, schema: { hide: true } } as const

/**
 * A page under /playground on which people talk with the agent. It is an ordinary caller: it uses the routes of the API
 * with a token, and this plugin serves nothing but its files.
 */
const playground: FastifyPluginAsync = async (app) => {
  const { page, policy, files } = readPlayground()
  app.get('/playground', PUBLIC, async (_request, reply) =>
    reply
      .headers({ 'content-security-policy': policy, 'referrer-policy': 'same-origin' })
      .type(page.type)
      .send(page.body),
  )
  app.get<{ Params: { '*': string } }>('/playground/*', PUBLIC, async ({ params }, reply) => {
    const name = params['*']
    // The addresses in the page are relative to one without a slash at its end.
    if (name === '') return reply.redirect(`${app.publicPath}/playground`)
    const file = files.get(name)
    if (file === undefined) throw problem('not_found')
    return reply.type(file.type).send(file.body)
  })
}

export default playground
