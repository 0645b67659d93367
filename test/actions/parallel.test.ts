import t from 'tap'
import { startService } from '../support/service.ts'
import { APPROVE, answer, ask, DENY, stampFile } from './asking.ts'

/** All orders in which three calls can be decided. */
const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
]

t.test('of three parallel calls each approved one is executed once, and each denied one never', async (t) => {
  const service = await startService(t)
  const other = await startService(t, { engine: service.engine, databaseUrl: service.databaseUrl })
  for (const [at, order] of ORDERS.entries()) {
    const { file, lines } = stampFile(t)
    const { runId, actions } = await ask(service, `[[stamp:3]] file ${file}`)
    t.match(
      actions.map(({ args }) => args.text),
      ['stamp-1', 'stamp-2', 'stamp-3'],
    )
    const denied = order[at % 3] as number
    let continuedBy: string | undefined
    for (const [turn, call] of order.entries()) {
      const body = call === denied ? DENY : APPROVE
      const { actionId = '' } = actions[call] ?? {}
      // The caller sends the answer to both instances at the same time.
      const [one, two] = await Promise.all([
        answer(service, runId, actionId, body),
        answer(other, runId, actionId, body),
      ])
      t.match([one.status, two.status], [200, 200])
      t.equal(one.body.pending, 2 - turn)
      const contrary = await answer(other, runId, actionId, call === denied ? APPROVE : DENY)
      t.match(contrary, {
        status: 409,
        body: { code: 'action_decided', decision: { status: call === denied ? 'denied' : 'approved' } },
      })
      continuedBy = one.body.continuedBy ?? two.body.continuedBy
    }
    t.match(continuedBy, /^run_/)
    const run = await service.ended(continuedBy ?? '')
    t.match(run.body, { status: 'completed', finishReason: 'stop', continues: runId })
    t.match(run.body.toolCalls[denied].result, { error: 'not today' })
    const expected = [0, 1, 2]
      .filter((call) => call !== denied)
      .map((call) => `stamp-${call + 1} ${runId}:${actions[call]?.toolCallId}`)
    t.same(await lines(), expected)
    // A repetition of the last answer returns the run of the continuation.
    const last = order[2] as number
    const again = await answer(
      service,
      runId,
      actions[last]?.actionId ?? '',
      last === denied ? DENY : APPROVE,
    )
    t.match(again, { status: 200, body: { continuedBy, pending: 0 } })
    t.equal((await lines()).length, 2)
  }
  const runs = await service.call('GET', '/api/agent/chat?limit=100')
  t.equal(runs.body.data.length, 2 * ORDERS.length, 'each turn has one continuation')
})

t.test('parallel answers to all calls on two instances start one continuation', async (t) => {
  const service = await startService(t)
  const other = await startService(t, { engine: service.engine, databaseUrl: service.databaseUrl })
  const { file, lines } = stampFile(t)
  const { runId, actions } = await ask(service, `[[stamp:3]] file ${file}`)
  const answers = await Promise.all(
    actions.flatMap(({ actionId }) => [service, other].map((one) => answer(one, runId, actionId, APPROVE))),
  )
  t.ok(answers.every(({ status }) => status === 200))
  const { body } = await service.call('GET', `/api/agent/chat/${runId}`)
  t.match((await service.ended(body.continuedBy)).body, { status: 'completed', finishReason: 'stop' })
  t.equal((await lines()).length, 3)
  t.equal((await service.call('GET', '/api/agent/chat')).body.data.length, 2)
})
