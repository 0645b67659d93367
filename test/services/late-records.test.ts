import t from 'tap'
import { startService } from '../support/service.ts'
import { ENDLESS, start } from './instances.ts'
import { until } from './rows.ts'

t.test('the sweeper asks for a run as soon as its id is recorded late', async (t) => {
  const service = await startService(t)
  const { turns, sweeps } = service.app.stores
  const { record } = turns
  let isRefused = true
  t.intercept(turns, 'record', {
    value: async (...args: Parameters<typeof record>) => {
      if (isRefused) throw new Error('refused by the test')
      return record(...args)
    },
  })
  const due = t.capture(sweeps, 'checkIn', sweeps.checkIn)
  const { status, body } = await start(service, undefined, { message: ENDLESS })
  t.equal(status, 202)
  // The observer cannot store the begin of the run either.
  await until(async () => (await service.app.engine.get(body.runId))?.status === 'running')
  isRefused = false
  await until(async () => due().some(({ args: [runId, seconds] }) => runId === body.runId && seconds === 0))
  await until(
    async () => (await service.call('GET', `/api/agent/chat/${body.runId}`)).body.status === 'running',
  )
})
