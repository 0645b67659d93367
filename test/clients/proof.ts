import type { Test } from 'tap'
import { test } from 'tap'
import { type Service, startService, token } from '../support/service.ts'
import { type HostileProxy, startHostileProxy } from './hostile-proxy.ts'

/** Runs of the proof: some by default, 500 in the one that the documents speak of. */
export const RUNS = Number(process.env.CLIENT_RUNS ?? 24)

/** A question that no other run asks, and what its answer has to contain. */
export const questionOf = (index: number) => ({
  message: `What is ${index + 1000} * 7?`,
  expected: String((index + 1000) * 7),
})

/** Asks every question through the proxy; tells the id of the run that has answered it rightly. */
type AskAll = (proxyUrl: string, bearer: string, t: Test) => Promise<string[]>

/** Proves that a client gets every answer through a hostile proxy, and that each question has made one run. */
export function proof(client: string, askAll: AskAll): void {
  test(`${client}: every question has one run and the right answer, through a proxy that cuts and refuses`, async (t) => {
    const service = await startService(t)
    const proxy = await startHostileProxy(t, service.url)
    const begin = performance.now()
    const runIds = await askAll(proxy.url, await token('alice'), t)
    const seconds = ((performance.now() - begin) / 1_000).toFixed(1)
    t.comment(`${RUNS} runs in ${seconds} s: ${JSON.stringify(proxy.counts)}`)
    t.equal(runIds.length, RUNS, 'right answers')
    const stored = await storedRuns(service)
    t.same(runIds.toSorted(), stored.toSorted(), 'no other runs')
    t.equal(new Set(await engineRuns(service)).size, RUNS, 'and none at the engine')
    checkHostility(t, proxy)
  })
}

/** A proxy that lets everything pass would prove nothing. */
function checkHostility(t: Test, { counts }: HostileProxy): void {
  t.ok(counts.cut >= counts.requests / 3 - 1 && counts.refused >= RUNS / 5, JSON.stringify(counts))
}

async function storedRuns({ call }: Service): Promise<string[]> {
  const ids: string[] = []
  for (let cursor = ''; ; ) {
    const { body } = await call('GET', `/api/agent/chat?limit=100${cursor}`)
    ids.push(...body.data.map(({ runId }: { runId: string }) => runId))
    if (!body.hasMore) return ids
    cursor = `&cursor=${body.nextCursor}`
  }
}

async function engineRuns({ engine }: Service): Promise<string[]> {
  const ids: string[] = []
  for (let after = ''; ; ) {
    const answer = await fetch(`${engine.url}/api/v1/runs?page[size]=100${after}`, {
      headers: { authorization: `Bearer ${engine.secretKey}` },
    })
    const { data, pagination } = (await answer.json()) as {
      data: { id: string }[]
      pagination: { next?: string }
    }
    ids.push(...data.map(({ id }) => id))
    if (!pagination.next) return ids
    after = `&page[after]=${pagination.next}`
  }
}
