// The minimum with duties: what `bare.ts` does, and tokens, limits, validation, a line of log for each request, a tag
// for each poll, and the SDK for a start. Written by hand with the packages' own defaults.
import { createHash, randomUUID } from 'node:crypto'
import jwt from '@fastify/jwt'
import rateLimit from '@fastify/rate-limit'
import { configure, tasks } from '@trigger.dev/sdk'
import { fastify } from 'fastify'
import { serveParent } from '../parts/child.ts'
import { openPool, POLL, type PollRow, pollView, RECORD, RUN, START, startValues } from './statements.ts'

configure({
  baseURL: process.env.TRIGGER_API_URL as string,
  accessToken: process.env.TRIGGER_SECRET_KEY as string,
})
const pool = openPool()
const app = fastify({ logger: true })
await app.register(jwt, { secret: process.env.AUTH_JWT_SECRET as string })
app.addHook('onRequest', async (request) => {
  await request.jwtVerify()
})
await app.register(rateLimit, {
  max: 1_000_000_000,
  timeWindow: 60_000,
  keyGenerator: ({ user }) => (user as { sub: string }).sub,
})
const subject = (user: unknown) => (user as { sub: string }).sub

app.get<{ Params: { runId: string } }>(
  '/api/agent/chat/:runId',
  {
    schema: {
      params: { type: 'object', properties: { runId: { type: 'string', pattern: '^run_' } } },
      response: { 200: RUN },
    },
    onSend: async (request, reply, payload) => {
      const tag = `"${createHash('sha1')
        .update(payload as string)
        .digest('base64url')}"`
      reply.header('etag', tag)
      if (request.headers['if-none-match'] !== tag) return payload
      reply.code(304)
      return ''
    },
  },
  async (request, reply) => {
    const { rows } = await pool.query<PollRow>({
      ...POLL,
      values: [request.params.runId, subject(request.user)],
    })
    return rows[0] === undefined ? reply.code(404).send({}) : pollView(rows[0])
  },
)

app.post<{ Body: { message: string } }>(
  '/api/agent/chat',
  {
    schema: {
      body: {
        type: 'object',
        required: ['message'],
        additionalProperties: false,
        properties: {
          message: { type: 'string', minLength: 1, maxLength: 100_000 },
          conversationId: { type: 'string', format: 'uuid' },
        },
      },
    },
  },
  async (request, reply) => {
    const ids = { turn: randomUUID(), conversation: randomUUID(), message: randomUUID(), run: randomUUID() }
    await pool.query({ ...START, values: startValues(ids, subject(request.user), request.body.message) })
    const { id } = await tasks.trigger(
      'agent-chat',
      { message: request.body.message, turnId: ids.turn },
      { idempotencyKey: ids.turn, concurrencyKey: ids.conversation, tags: [`turn_${ids.turn}`] },
    )
    await pool.query({ ...RECORD, values: [ids.run, ids.turn, id] })
    return reply.code(202).send({ runId: id, status: 'queued', conversationId: ids.conversation })
  },
)

serveParent(await app.listen({ host: '127.0.0.1', port: 0 }))
