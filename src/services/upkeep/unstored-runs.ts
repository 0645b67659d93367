import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentTurn } from '../../agent/turn.ts'
import type { RunSummary } from '../../engine/run-engine.ts'
import { isFinished } from '../../engine/run-status.ts'
import type { Recorded, UnstoredTurn } from '../../stores/turns.ts'
import type { ServiceContext } from '../context.ts'
import { isStartTag, runsTagged, type StartOrigin, startTag, turnOf, unstoredTag } from '../run-tags.ts'
import { subscribe } from './subscription.ts'

/**
 * Runs that were started while the database was away carry a tag of their own and, in their payload, what their rows
 * need. They get their rows in one way: each run with the tag that has no row is adopted.
 */
export interface UnstoredRuns {
  /** The database was away: runs may lack their rows until the next search has ended. */
  missed(): void
  /** Whether a run of such a start may lack its row: the engine has to be asked before another one is sent. */
  mayLackRow(origin: StartOrigin): boolean
  /** Adopts what the engine lists since the last search: one instance every ten seconds, or at once after an outage. */
  search(): Promise<void>
  /** Adopts, until `signal` aborts, the runs of instances that alone are without the database, as they are started. */
  watch(signal: AbortSignal): Promise<void>
  /** A run begins that is not the run of its turn: it is adopted, or stopped when nothing waits for it. */
  stopIfUnwanted(run: { runId: string; turnId: string }, recorded: Recorded): Promise<void>
}

const SEARCH_SECONDS = 10
/** The engine's lists lag behind, and clocks differ. */
const OVERLAP_MS = 2 * 60_000
const BATCH = 100
/** All instances hear of an unstored run at the same time; the first one to adopt it spares the others the work. */
const SPREAD_MS = 500
const HEARD = 10_000

export function unstoredRuns({ stores, engine, log, tags }: ServiceContext): UnstoredRuns {
  let outages = 0
  let searchedOutages = 0
  /** Starts of which this instance has heard and whose runs are being adopted. */
  const heard = new Set<string>()

  async function adopt(runId: string): Promise<void> {
    const run = await engine.get(runId, 'sweep')
    const turn = run?.payload === undefined ? undefined : turnOfPayload(run.payload, runId, run.createdAt)
    if (turn === undefined) return
    const outcome = await stores.turns.adopt(turn)
    log.info(
      { turnId: turn.turnId, runId, outcome },
      'a run that was started without the database was adopted',
    )
    if (outcome === 'superseded') await engine.cancel(runId, 'sweep')
  }

  /** One run that cannot be adopted does not keep the others from it. @returns whether all were */
  async function adoptUnknown(runIds: string[]): Promise<boolean> {
    let all = true
    for (const runId of await stores.housekeeping.unknownRuns(runIds)) {
      await adopt(runId).catch((error: unknown) => {
        all = false
        log.warn({ err: error, runId }, 'a run that was started without the database could not be adopted')
      })
    }
    return all
  }

  return {
    missed() {
      outages += 1
    },
    mayLackRow: (origin) => outages > searchedOutages || heard.has(startTag(origin)),

    async search() {
      const startedAt = new Date()
      const outagesBefore = outages
      const adoptedTo = await stores.housekeeping.claimSearch(SEARCH_SECONDS, outages > searchedOutages)
      if (adoptedTo === undefined) return
      const createdFrom = new Date(adoptedTo.getTime() - OVERLAP_MS)
      const runs = await runsTagged(engine, await unstoredTag(tags), 'sweep', createdFrom)
      let all = true
      for (let from = 0; from < runs.length; from += BATCH) {
        const batch = runs.slice(from, from + BATCH).map(({ runId }) => runId)
        all = (await adoptUnknown(batch)) && all
      }
      if (all) await stores.housekeeping.noteSearched(startedAt)
      searchedOutages = outagesBefore
    },

    watch(signal) {
      const onChange = async ({ runId, tags: runTags, status }: RunSummary) => {
        if (turnOf(runTags) === undefined) return
        const starts = heard.size < HEARD ? runTags.filter(isStartTag) : []
        for (const tag of starts) heard.add(tag)
        try {
          await sleep(Math.random() * SPREAD_MS, undefined, { signal })
          await adoptUnknown([runId])
          // The instance that started the run has no database to store its end in.
          if (isFinished(status)) await stores.sweeps.checkIn(runId, 0)
        } finally {
          for (const tag of starts) heard.delete(tag)
        }
      }
      return subscribe(
        { engine, log },
        () => unstoredTag(tags),
        (run) => void onChange(run).catch(() => {}), // Without the database here either, the search finds the run later.
        signal,
      )
    },

    async stopIfUnwanted({ runId, turnId }, recorded) {
      // The sweeper decides about an abandoned turn; a run that has a row is the run of another turn of its key.
      if (recorded.state === 'abandoned') return
      if ((await stores.housekeeping.unknownRuns([runId])).length === 0) return
      const run = await engine.get(runId, 'sweep')
      if (run === undefined || run.payload?.origin !== undefined) return
      log.warn(
        { runId, turnId },
        'stopping a run that belongs to no turn: it reached the engine after its start had failed',
      )
      await engine.cancel(runId, 'sweep')
    },
  }
}

/** What the payload tells of a turn that could not be stored; undefined for one that was. */
function turnOfPayload(payload: AgentTurn, runId: string, createdAt: Date): UnstoredTurn | undefined {
  const { turnId, origin, message, assistantMessageId } = payload
  if (origin === undefined) return undefined
  const text = message.parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
  const input = { message: { ...message, text }, newConversation: false, assistantMessageId }
  return { turnId, runId, ...origin, input, createdAt }
}
