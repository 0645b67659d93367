import { setTimeout as sleep } from 'node:timers/promises'
import { type AgentTurn, DEFAULT_AGENT } from '../../agent/turn.ts'
import type { RunSummary } from '../../engine/run-engine.ts'
import { isFinished } from '../../engine/run-status.ts'
import type { Recorded, UnstoredTurn } from '../../stores/turns.ts'
import type { ServiceContext } from '../context.ts'
import { isStartTag, runsTagged, type StartOrigin, startTag, turnOf, unstoredTag } from '../run-tags.ts'
import { subscribe } from './subscription.ts'

/**
 * Adopts runs that were started while the database was away. Such a run carries the tag `unstored_…`, and its payload
 * holds all that its rows need. Each run with this tag and without a row is adopted.
 */
export interface UnstoredRuns {
  /** Notes that the database was away: until the next search has ended, runs may lack their rows. */
  missed(): void
  /** Whether a run of this start may lack its row. The start then asks the engine before it dispatches the turn. */
  mayLackRow(origin: StartOrigin): boolean
  /**
   * Adopts the run at once when it is one that this user has started and that may lack its row.
   * @returns whether the run has its row now
   * @throws Problem `engine_unavailable`: the run may exist
   */
  adoptAtOnce(userId: string, runId: string): Promise<boolean>
  /** Adopts the runs listed since the last search: one instance every ten seconds, or at once after an outage. */
  search(): Promise<void>
  /** Adopts, until `signal` aborts, new runs of other instances that cannot reach the database. */
  watch(signal: AbortSignal): Promise<void>
  /** Cancels an executing run that belongs to no turn, unless it is to be adopted. */
  stopIfUnwanted(run: { runId: string; turnId: string }, recorded: Recorded): Promise<void>
}

const SEARCH_SECONDS = 10
/** A search includes runs from so long before the last search, because the engine's lists lag and clocks differ. */
const OVERLAP_MS = 2 * 60_000
const BATCH = 100
/** All instances hear of an unstored run at the same time; a random delay lets one of them adopt it first. */
const SPREAD_MS = 500
const HEARD = 10_000
/** The time after an outage in which the engine's lists and the searches show all unstored runs. */
const UNCERTAIN_MS = 60_000

export function unstoredRuns({ stores, engine, log, tags }: ServiceContext): UnstoredRuns {
  let outages = 0
  let searchedOutages = 0
  let missedAt = Number.NEGATIVE_INFINITY
  /** Ids of the runs that this instance is adopting, and the tags of their starts. */
  const heard = new Set<string>()

  async function unstoredTurn(runId: string, purpose: 'read' | 'sweep'): Promise<UnstoredTurn | undefined> {
    const run = await engine.get(runId, purpose)
    return run?.payload === undefined ? undefined : turnOfPayload(run.payload, runId, run.createdAt)
  }

  async function adopt(runId: string): Promise<void> {
    const turn = await unstoredTurn(runId, 'sweep')
    if (turn !== undefined) await store(turn)
  }

  async function store(turn: UnstoredTurn): Promise<void> {
    const { runId } = turn
    const outcome = await stores.turns.adopt(turn)
    log.info(
      { turnId: turn.turnId, runId, outcome },
      'a run that was started without the database was adopted',
    )
    if (outcome === 'superseded') await engine.cancel(runId, 'sweep')
  }

  /** Adopts those of the runs that have no row, also when one of them fails. @returns whether all were adopted */
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
      missedAt = performance.now()
    },
    mayLackRow: (origin) => outages > searchedOutages || heard.has(startTag(origin)),

    async adoptAtOnce(userId, runId) {
      if (performance.now() > missedAt + UNCERTAIN_MS && !heard.has(runId)) return false
      const turn = await unstoredTurn(runId, 'read')
      if (turn?.userId !== userId) return false
      await store(turn)
      return true
    },

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
        const names = heard.size < HEARD ? [runId, ...runTags.filter(isStartTag)] : []
        for (const name of names) heard.add(name)
        try {
          await sleep(Math.random() * SPREAD_MS, undefined, { signal })
          await adoptUnknown([runId])
          // The instance that started the run cannot reach the database, and so cannot store its end.
          if (isFinished(status)) await stores.sweeps.checkIn(runId, 0)
        } finally {
          for (const name of names) heard.delete(name)
        }
      }
      return subscribe(
        { engine, log },
        () => unstoredTag(tags),
        (run) => void onChange(run).catch(() => {}), // When this fails, the search finds the run later.
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

/** The turn in the payload of a run that was started without the database; undefined for other runs. */
function turnOfPayload(payload: AgentTurn, runId: string, createdAt: Date): UnstoredTurn | undefined {
  const { turnId, agent = DEFAULT_AGENT, origin, message, assistantMessageId } = payload
  if (origin === undefined) return undefined
  const text = message.parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
  const input = { message: { ...message, text }, newConversation: false, assistantMessageId }
  return { turnId, runId, agent, ...origin, input, createdAt }
}
