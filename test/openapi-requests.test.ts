import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type GeneratedRequest, requests } from './requests/arbitrary.ts'
import { checkBy } from './requests/check.ts'
import { RequestClient } from './requests/client.ts'
import { type Document, operationsOf } from './requests/document.ts'
import { startLoopProbe } from './requests/loop-probe.ts'
import { startEngine, startService } from './support/service.ts'

/** `npm run test:requests` sends 100,000. */
const COUNT = Number(process.env.REQUESTS ?? 2_000)
const SEED = Number(process.env.REQUESTS_SEED ?? Date.now() % 2 ** 31)
const BATCH = 250
/** Requests at the same time. */
const LANES = 12
/** Work of the service and of this client at a stretch. */
const MAX_BLOCKED_MS = 1_000
/** More of them would say the same. */
const MAX_FINDINGS = 20

if (COUNT > 2_000) t.setTimeout(COUNT * 60)

t.test('the service answers generated requests as the document describes, without a 5xx', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '0' } })
  const service = await startService(t, { engine })
  const document = (await (await fetch(`${service.url}/openapi.json`)).json()) as Document
  const operations = operationsOf(document)
  const check = checkBy(document, operations)
  const client = await RequestClient.connect(service)
  t.teardown(() => client.close())
  const generated = requests(document, operations)
  const findings: string[] = []
  const statuses = new Map<string, number>()

  async function judge(given: GeneratedRequest): Promise<void> {
    const rendered = client.render(given)
    const answer = await client.send(rendered)
    const { id } = given.operation
    statuses.set(`${id} ${answer.status}`, (statuses.get(`${id} ${answer.status}`) ?? 0) + 1)
    const finding =
      answer.status >= 500 ? `status ${answer.status}: ${answer.body}` : check(given.operation, answer)
    if (finding !== undefined) findings.push(`${id}: ${finding}\n${described(rendered)}`)
  }

  let blocked = { workMs: 0, clockMs: 0 }
  for (let sent = 0; sent < COUNT && findings.length < MAX_FINDINGS; sent += BATCH) {
    const batch = fc.sample(generated, { numRuns: Math.min(BATCH, COUNT - sent), seed: SEED + sent })
    const probe = startLoopProbe()
    const queue = batch.values()
    await Promise.all(
      Array.from({ length: LANES }, async () => {
        for (const request of queue) await judge(request)
      }),
    )
    const { workMs, clockMs } = probe.stop()
    // The first requests of a process compile what they run.
    if (sent === 0) continue
    blocked = { workMs: Math.max(blocked.workMs, workMs), clockMs: Math.max(blocked.clockMs, clockMs) }
  }

  t.comment(`seed ${SEED}; blocked for ${blocked.workMs} ms of work, ${blocked.clockMs} ms by the clock`)
  t.comment(
    [...statuses]
      .sort()
      .map(([name, count]) => `${name}: ${count}`)
      .join(', '),
  )
  t.same(findings, [], `REQUESTS_SEED=${SEED} sends the same requests`)
  t.ok(blocked.workMs <= MAX_BLOCKED_MS, `the event loop was blocked for ${blocked.workMs} ms of work`)
  everyOperationAccepts(
    t,
    operations.map(({ id }) => id),
    statuses,
  )
})

/** A generator that no operation accepts anything of would find nothing. */
function everyOperationAccepts(t: Test, ids: string[], statuses: Map<string, number>): void {
  for (const id of ids) {
    const accepted = [...statuses.keys()].some((name) => name.startsWith(`${id} 2`))
    t.ok(accepted, `${id} accepted a request`)
  }
}

const described = ({ method, path, headers, body }: ReturnType<RequestClient['render']>) =>
  `  ${method} ${path}\n  ${JSON.stringify({ ...headers, authorization: undefined })}\n  ${body?.slice(0, 300) ?? ''}`
