// The bare minimum: Fastify, one prepared read for a poll, two statements and one `fetch` for a start. No tokens, no
// limits, no validation, no log.
import { randomUUID } from 'node:crypto'
import { fastify } from 'fastify'
import { serveParent } from '../parts/child.ts'
import {
  openPool,
  POLL,
  type PollRow,
  pollView,
  RECORD,
  RUN,
  START,
  startValues,
  userOf,
} from './statements.ts'

const pool = openPool()
const engine = `${process.env.TRIGGER_API_URL}/api/v1/tasks/agent-chat/trigger`
const headers = {
  'content-type': 'application/json',
  authorization: `Bearer ${process.env.TRIGGER_SECRET_KEY}`,
}
const app = fastify()

app.get<{ Params: { runId: string } }>(
  '/api/agent/chat/:runId',
  { schema: { response: { 200: RUN } } },
  async (request, reply) => {
    const { rows } = await pool.query<PollRow>({
      ...POLL,
      values: [request.params.runId, userOf(request.headers.authorization)],
    })
    return rows[0] === undefined ? reply.code(404).send({}) : pollView(rows[0])
  },
)

app.post<{ Body: { message: string } }>('/api/agent/chat', async (request, reply) => {
  const ids = { turn: randomUUID(), conversation: randomUUID(), message: randomUUID(), run: randomUUID() }
  const user = userOf(request.headers.authorization)
  await pool.query({ ...START, values: startValues(ids, user, request.body.message) })
  const answer = await fetch(engine, {
    method: 'POST',
    headers,
    body: JSON.stringify({
      payload: JSON.stringify({ message: request.body.message, turnId: ids.turn }),
      options: {
        payloadType: 'application/json',
        idempotencyKey: ids.turn,
        concurrencyKey: ids.conversation,
      },
    }),
  })
  const { id } = (await answer.json()) as { id: string }
  await pool.query({ ...RECORD, values: [ids.run, ids.turn, id] })
  return reply.code(202).send({ runId: id, status: 'queued', conversationId: ids.conversation })
})

serveParent(await app.listen({ host: '127.0.0.1', port: 0 }))
