import type { AgentTurn } from '../agent/turn.ts'
import { isFinished } from '../engine/run-status.ts'
import type { UnstoredTurn } from '../stores/turns.ts'
import type { ServiceContext } from './context.ts'
import { turnIdOf, type UnstoredRuns } from './unstored-runs.ts'

export interface Adoption {
  /** A turn whose start had no answer from the database: if it was written after all, it is withdrawn. */
  takeBack(turn: { turnId: string; idempotencyKey: string | null }): void
  /** The database is back: runs that were started meanwhile, here or elsewhere, may lack their rows. */
  missed(): void
  /** Whether such runs may still be without their rows. */
  isBehind(): boolean
  /** A run has begun that no turn waits for: it is stopped, or adopted. */
  stray(run: { runId: string; turnId: string }): Promise<void>
  /** Writes what this instance remembers, and what it has heard of others; rejects while the database is away. */
  recovered(): Promise<void>
  /**
   * Looks through the engine's runs for ones without a row: those started without the database are adopted,
   * others are stopped. Once a minute, whichever instance it is; `now`: at once.
   */
  search(now?: boolean): Promise<void>
}

/** The engine's lists lag behind, and clocks differ. */
const OVERLAP_MS = 2 * 60_000
const BATCH = 100
const REMEMBERED = 10_000

export function adoption({ stores, engine, log, tags }: ServiceContext, unstored: UnstoredRuns): Adoption {
  const unwanted = new Map<string, 'gone' | 'abandoned'>()
  let outages = 0
  let searchedOutages = 0

  async function adopt(turn: UnstoredTurn): Promise<void> {
    const outcome = await stores.turns.adopt(turn)
    if (outcome === 'superseded')
      await engine.cancel(turn.runId, 'sweep').catch((error: unknown) => {
        log.warn({ err: error, runId: turn.runId }, 'the next search will stop the superseded run')
      })
    log.info(
      { turnId: turn.turnId, runId: turn.runId, outcome },
      'a run that was started without the database',
    )
  }

  async function take({ runId, turnId }: { runId: string; turnId: string }): Promise<void> {
    const run = await engine.get(runId, 'sweep')
    if (run === undefined) return
    const turn = run.payload === undefined ? undefined : unstoredTurn(run.payload, runId, run.createdAt)
    if (turn !== undefined) return adopt(turn)
    if (isFinished(run.status)) return
    // A row comes before its run: this one arrived after its start had been given up.
    log.warn({ runId, turnId }, 'stopping a run that belongs to no turn')
    await engine.cancel(runId, 'sweep')
  }

  async function takeUnknown(runs: Array<{ runId: string; turnId: string }>): Promise<void> {
    const unknown = new Set(await stores.sweeps.unknown(runs))
    for (const run of runs) if (unknown.has(run.runId)) await take(run)
  }

  return {
    takeBack({ turnId, idempotencyKey }) {
      // With a key somebody may be dispatching it for a retry: that run must not be found by the next one.
      if (unwanted.size < REMEMBERED) unwanted.set(turnId, idempotencyKey === null ? 'gone' : 'abandoned')
    },

    missed() {
      outages += 1
    },
    isBehind: () => outages > searchedOutages,

    async stray(run) {
      const [turn] = await stores.turns.pending([run.turnId])
      if (turn === undefined) await takeUnknown([run])
      else if (turn.status === 'abandoned') await stores.sweeps.checkSoon(run.turnId)
    },

    async recovered() {
      for (const [turnId, fate] of unwanted) {
        await stores.turns.withdraw(turnId, fate)
        unwanted.delete(turnId)
      }
      for (const turn of unstored.remembered()) {
        await adopt(turn)
        unstored.forget(turn.runId)
      }
      for (let runs = unstored.heard(); runs.length > 0; runs = unstored.heard()) {
        await takeUnknown(runs)
        for (const { runId } of runs) unstored.forget(runId)
      }
    },

    async search(now = false) {
      const startedAt = new Date()
      const outagesBefore = outages
      const adoptedTo = await stores.sweeps.claimAdoption(now)
      if (adoptedTo === undefined) return
      const createdFrom = new Date(adoptedTo.getTime() - OVERLAP_MS)
      let batch: Array<{ runId: string; turnId: string }> = []
      for await (const run of engine.list({ tag: await tags.service(), createdFrom })) {
        const turnId = turnIdOf(run)
        if (turnId === undefined) continue
        batch.push({ runId: run.runId, turnId })
        if (batch.length < BATCH) continue
        await takeUnknown(batch)
        batch = []
      }
      await takeUnknown(batch)
      await stores.sweeps.noteAdopted(startedAt)
      searchedOutages = outagesBefore
    },
  }
}

/** What the payload tells of a turn that could not be stored; undefined for one that was. */
function unstoredTurn(payload: AgentTurn, runId: string, createdAt: Date): UnstoredTurn | undefined {
  const { turnId, origin, message, assistantMessageId } = payload
  if (origin === undefined) return undefined
  const text = message.parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
  const input = {
    message: { ...message, text },
    conversationId: null,
    newConversation: false,
    assistantMessageId,
  }
  return { turnId, runId, ...origin, input, createdAt }
}
