import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type GeneratedRequest, requests } from './requests/arbitrary.ts'
import { checkBy } from './requests/check.ts'
import { RequestClient } from './requests/client.ts'
import { type Document, operationsOf } from './requests/document.ts'
import type { Blocked } from './requests/loop-probe.ts'
import { tell } from './support/figures.ts'
import { createDatabase } from './support/postgres.ts'
import { startEngine } from './support/service.ts'

/** `npm run test:requests` sends 100,000. */
const COUNT = Number(process.env.REQUESTS ?? 2_000)
const SEED = Number(process.env.REQUESTS_SEED ?? Date.now() % 2 ** 31)
const BATCH = 250
/** Requests at the same time. */
const LANES = 12
/** Work of the service at a stretch; a machine that runs other tests beside this one makes the same work longer. */
const MAX_BLOCKED_MS = COUNT > 2_000 ? 100 : 200
/** More of them would say the same. */
const MAX_FINDINGS = 20

const isLong = COUNT > 2_000
if (isLong) t.setTimeout(COUNT * 120)

t.test('the service answers generated requests as the document describes, without a 5xx', async (t) => {
  const engine = await startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '0' } })
  const service = await serve(t, engine)
  const document = (await (await fetch(`${service.url}/openapi.json`)).json()) as Document
  const operations = operationsOf(document)
  const check = checkBy(document, operations)
  const client = await RequestClient.connect(service)
  await client.waitForActions(2)
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
    await service.blocked()
    const queue = batch.values()
    await Promise.all(
      Array.from({ length: LANES }, async () => {
        for (const request of queue) await judge(request)
      }),
    )
    const { workMs, clockMs } = await service.blocked()
    // The first requests of a process compile what they run.
    if (sent === 0) continue
    if (isLong && sent % (40 * BATCH) === 0)
      tell(t, `${sent} requests, ${findings.length} findings, at most ${blocked.workMs} ms of work`, isLong)
    if (isLong && workMs > MAX_BLOCKED_MS / 2)
      tell(t, `requests ${sent} to ${sent + BATCH}: ${workMs} ms of work, ${clockMs} ms by the clock`, isLong)
    blocked = { workMs: Math.max(blocked.workMs, workMs), clockMs: Math.max(blocked.clockMs, clockMs) }
  }

  // Two thousand requests to fifty operations leave some with requests that are all wrong by chance.
  const isAccepted = (id: string) => [...statuses.keys()].some((name) => name.startsWith(`${id} 2`))
  for (const operation of operations.filter(({ id }) => !isAccepted(id))) {
    const more = fc.sample(requests(document, [operation]), { numRuns: 200, seed: SEED })
    for (const request of more) if (!isAccepted(operation.id)) await judge(request)
    t.ok(isAccepted(operation.id), `${operation.id} accepts a request`)
  }

  tell(
    t,
    `${COUNT} requests, seed ${SEED}; blocked for ${blocked.workMs} ms of work, ${blocked.clockMs} ms by the clock`,
    isLong,
  )
  tell(
    t,
    [...statuses]
      .sort()
      .map(([name, count]) => `${name}: ${count}`)
      .join(', '),
    isLong,
  )
  t.same(findings, [], `REQUESTS_SEED=${SEED} sends the same requests`)
  t.ok(blocked.workMs <= MAX_BLOCKED_MS, `the event loop was blocked for ${blocked.workMs} ms of work`)
})

/** Starts a service in a process of its own, which can be asked how long its event loop was blocked since then. */
async function serve(t: Test, { url, secretKey }: { url: string; secretKey: string }) {
  const file = fileURLToPath(new URL('./requests/service-process.ts', import.meta.url))
  const child = fork(file, [await createDatabase(t), url, secretKey], {
    env: { PATH: process.env.PATH },
    execArgv: [],
  })
  t.teardown(() => child.kill())
  const [started] = (await once(child, 'message')) as [{ url: string }]
  return {
    ...started,
    async blocked(): Promise<Blocked> {
      child.send('how long?')
      return ((await once(child, 'message')) as [Blocked])[0]
    },
  }
}

const described = ({ method, path, headers, body }: ReturnType<RequestClient['render']>) =>
  `  ${method} ${path}\n  ${JSON.stringify({ ...headers, authorization: undefined })}\n  ${body?.slice(0, 300) ?? ''}`
