import t from 'tap'
import { startService } from '../support/service.ts'
import { CHAT } from './instances.ts'
import { query, until } from './rows.ts'

t.test(
  'parallel retries, an edit, a fork and a deletion leave no reserved tokens and no incomplete thread',
  async (t) => {
    const service = await startService(t, {
      environment: {
        BUDGET_TOKENS_PER_USER_DAY: '100000000',
        BUDGET_TOKENS_PER_RUN: '5000',
        RATE_LIMIT_START_MAX: '1000',
      },
    })
    const { call } = service
    const begun = async () =>
      (await call('POST', `${CHAT}/sync`, { body: { message: 'What is 1 + 1?' } })).body
    const retry = (runId: string, ifBusy: string) =>
      call('POST', `${CHAT}/${runId}/retry`, { body: { ifBusy } })
    for (const isDeleted of [false, true, true]) {
      const { runId, conversationId } = await begun()
      const path = `/api/agent/conversations/${conversationId}`
      const page = (await call('GET', `${path}/messages`)).body.data
      const edit = () =>
        call('POST', `${CHAT}/stream`, {
          body: {
            conversationId,
            messageId: page[0].id,
            ifBusy: 'interrupt',
            messages: [{ id: page[0].id, role: 'user', parts: [{ type: 'text', text: 'What is 2 + 2?' }] }],
          },
        })
      const answers = await Promise.all([
        retry(runId, 'interrupt'),
        retry(runId, 'enqueue'),
        edit(),
        call('POST', `${path}/fork`, { body: {} }),
        ...(isDeleted ? [call('DELETE', path)] : []),
        edit(),
        retry(runId, 'interrupt'),
      ])
      const statuses = answers.map(({ status }) => status)
      t.ok(
        statuses.every((status) => [200, 201, 202, 204, 404, 409].includes(status)),
        JSON.stringify(answers.filter(({ status }) => status >= 500 || status === 400)),
      )
      await until(async () => {
        const open = await query(service, `select from runs where finished_at is null`)
        const dispatching = await query(service, `select from turns where state <> 'started'`)
        return open.length + dispatching.length === 0
      })
      t.same(await query(service, 'select reserved from budget_days'), [{ reserved: '0' }])
      const thread = await call('GET', `${path}/messages`)
      if (isDeleted) {
        t.equal(thread.status, 404)
        for (const table of ['messages', 'superseded_messages', 'turns', 'runs'])
          t.same(
            await query(service, `select from ${table} where conversation_id = '${conversationId}'`),
            [],
            table,
          )
      } else {
        const roles = thread.body.data.map(({ role }: { role: string }) => role)
        t.equal(roles.filter((role: string) => role === 'user').length, 1, JSON.stringify(statuses))
        t.equal(roles[0], 'user')
        const runs = await query(
          service,
          `select from runs where conversation_id = '${conversationId}' and position is null and superseded_by is null`,
        )
        t.same(runs, [], 'every run without a place names the run that has replaced it')
      }
    }
  },
)
