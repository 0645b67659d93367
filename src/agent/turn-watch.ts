import type { TextStreamPart, ToolSet } from 'ai'
import type { Cut, Spent, Stop } from './finish-reason.ts'
import type { HistoryCounts, TurnFacts, UsageChunkData } from './turn.ts'
import { createUsageMeter } from './usage.ts'
import { createVerdict, type VerdictResult } from './verdict.ts'
import { MAX_WARNINGS, type TurnWarning } from './warnings.ts'

export type TurnWatch = ReturnType<typeof createTurnWatch>

export interface WatchOptions {
  /** How long the run waited for this worker, where that is known. */
  queuedMs?: number | undefined
  /** After so many seconds the answer is cut. */
  maxSeconds?: number | undefined
}

/**
 * Watches a turn: how it ends, what it costs, how long it takes and which model answers. It cuts the answer at the
 * limits of time and tokens.
 */
export function createTurnWatch(signal: AbortSignal, { queuedMs, maxSeconds }: WatchOptions = {}) {
  const begunAt = performance.now()
  const verdict = createVerdict(signal)
  const meter = createUsageMeter()
  const limits = new AbortController()
  let firstTokenMs: number | undefined
  let model = ''
  let stop: Stop | undefined
  let steeredBy: string | undefined
  let maxTotalTokens = Number.POSITIVE_INFINITY
  let spent: Spent = 'token_limit'
  let history: HistoryCounts | undefined
  const warnings: TurnWarning[] = []
  const ends: Array<() => Promise<void>> = []

  const cut = (reason: Cut) => {
    if (verdict.cut(reason)) limits.abort()
  }
  const timer = maxSeconds === undefined ? undefined : setTimeout(() => cut('time_limit'), maxSeconds * 1000)
  const elapsed = () => Math.round(performance.now() - begunAt)
  const facts = (): TurnFacts => ({
    usage: meter.total(),
    steps: meter.steps,
    model,
    timings: {
      ...(queuedMs === undefined ? {} : { queuedMs }),
      ...(firstTokenMs === undefined ? {} : { firstTokenMs }),
      durationMs: elapsed(),
    },
    ...(history === undefined ? {} : { history }),
    ...(warnings.length === 0 ? {} : { warnings: [...warnings] }),
  })
  return {
    verdict,
    meter,
    /** Aborts when the turn is stopped, and when a limit cuts it. */
    signal: AbortSignal.any([signal, limits.signal]),
    /** The turn may use so many tokens in all, and ends for this reason when it has used them. */
    allow(tokens: number | undefined, reason: Spent): void {
      maxTotalTokens = tokens ?? Number.POSITIVE_INFINITY
      spent = reason
    },
    observe(part: TextStreamPart<ToolSet>): void {
      if (part.type === 'text-delta' || part.type === 'reasoning-delta') firstTokenMs ??= elapsed()
      meter.observe(part)
      verdict.observe(part)
      if (meter.isOpen && meter.sofar() >= maxTotalTokens) cut(spent)
    },
    asked(modelId: string): void {
      model = modelId
    },
    /** Forgets how the model has ended, because the model is asked once more. */
    again(): void {
      stop = undefined
      verdict.again()
    },
    /** Why the agent does not make another step. */
    stopped(reason: Stop): void {
      stop = reason
    },
    /** Notes the run that steers the turn. @returns whether there is one */
    steer(runId: string | undefined): boolean {
      steeredBy = runId
      return runId !== undefined
    },
    /** The run for which the turn was ended. */
    get steeredBy(): string | undefined {
      return steeredBy
    },
    remembers(counts: HistoryCounts): void {
      history = counts
    },
    /** Notes what is missing, once. */
    warn(warning: TurnWarning): void {
      if (warnings.length < MAX_WARNINGS && !warnings.some(({ message }) => message === warning.message))
        warnings.push(warning)
    },
    reach: (): VerdictResult => verdict.reach(stop),
    facts,
    usage(): UsageChunkData {
      const { usage, ...others } = facts()
      return { ...usage, ...others }
    },
    /** Has something ended with the turn. */
    onEnd(end: () => Promise<void>): void {
      ends.push(end)
    },
    /** Ends what ends with the turn. */
    async dispose(): Promise<void> {
      clearTimeout(timer)
      await Promise.all(ends.map((end) => end()))
    },
  }
}
