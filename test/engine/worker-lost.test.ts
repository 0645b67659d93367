import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { toFailureCode } from '../../src/engine/run-status.ts'
import { RUN_FAILURES } from '../../src/run-failures.ts'
import { answerJson, apiRun, httpEngine } from './http-engine.ts'

/** What a real server has answered. */
const recorded = (name: string): { id: string; payload: unknown } =>
  JSON.parse(readFileSync(new URL(`./recordings/${name}.json`, import.meta.url), 'utf8')).response.body

test('a run whose worker was lost has failed, in each status in which a real server shows it', async (t) => {
  let body: unknown
  const { engine } = await httpEngine(t, (_request, response) => answerJson(response, body))
  for (const name of [
    'h1-retrieve-worker-lost-dev',
    'h2-retrieve-dev-cli-exited',
    'h3-retrieve-worker-lost-prod',
  ]) {
    const run = recorded(name)
    body = run
    t.match(
      await engine.get(run.id),
      {
        runId: run.id,
        status: 'failed',
        failureCode: 'worker_lost',
        payload: run.payload,
        startedAt: Date,
        finishedAt: Date,
      },
      name,
    )
  }
})

test('a run that was cancelled is cancelled', async (t) => {
  const run = recorded('28-retrieve-immediately-after-cancel')
  const { engine } = await httpEngine(t, (_request, response) => answerJson(response, run))
  t.match(await engine.get(run.id), { status: 'cancelled', failureCode: undefined })
})

const internal = (code: string) => `trigger.dev internal error (${code})`

const failures: Array<[status: string, message: string, code: string]> = [
  ['FAILED', 'provider_auth: The model provider refused the credentials of this service.', 'provider_auth'],
  ['FAILED', 'The run was stopped.', 'task_failed'],
  ['FAILED', internal('TASK_RUN_STALLED_EXECUTING_WITH_WAITPOINTS'), 'worker_lost'],
  ['SYSTEM_FAILURE', internal('TASK_RUN_HEARTBEAT_TIMEOUT'), 'worker_lost'],
  ['CRASHED', internal('POD_EVICTED'), 'worker_lost'],
  ['FAILED', internal('TASK_PROCESS_OOM_KILLED'), 'crashed'],
  ['CRASHED', internal('TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE'), 'crashed'],
  ['CRASHED', '', 'crashed'],
  ['SYSTEM_FAILURE', internal('CONFIGURED_INCORRECTLY'), 'system_failure'],
  ['TIMED_OUT', internal('MAX_DURATION_EXCEEDED'), 'timed_out'],
  ['EXPIRED', 'Run expired because the TTL (1m) was reached', 'expired'],
  ['FAILED', 'somebody wrote: Dev session ended', 'task_failed'],
]

test('every failure has a code of the closed list', async (t) => {
  let body: unknown
  const { engine } = await httpEngine(t, (_request, response) => answerJson(response, body))
  for (const [status, message, code] of failures) {
    body = apiRun('run_a', status, { error: { message } })
    t.match(await engine.get('run_a'), { status: 'failed', failureCode: code }, `${status}: ${message}`)
    t.ok(Object.hasOwn(RUN_FAILURES, code), code)
  }
  t.equal(toFailureCode('QUEUED', ''), 'internal')
})
