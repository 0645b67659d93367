import type { TextStreamPart, ToolSet } from 'ai'
import type { TurnFacts, UsageChunkData } from './turn.ts'
import { createUsageMeter } from './usage.ts'
import { createVerdict, type VerdictResult } from './verdict.ts'

export type TurnWatch = ReturnType<typeof createTurnWatch>

/** Watches a turn: how it ends, what it costs, how long it takes and which model answers. */
export function createTurnWatch(signal: AbortSignal) {
  const begunAt = performance.now()
  const verdict = createVerdict(signal)
  const meter = createUsageMeter()
  let firstTokenMs: number | undefined
  let model = ''
  let looped = false

  const elapsed = () => Math.round(performance.now() - begunAt)
  const facts = (): TurnFacts => ({
    usage: meter.total(),
    steps: meter.steps,
    model,
    timings: { ...(firstTokenMs === undefined ? {} : { firstTokenMs }), durationMs: elapsed() },
  })
  return {
    verdict,
    meter,
    observe(part: TextStreamPart<ToolSet>): void {
      if (part.type === 'text-delta' || part.type === 'reasoning-delta') firstTokenMs ??= elapsed()
      meter.observe(part)
      verdict.observe(part)
    },
    asked(modelId: string): void {
      model = modelId
    },
    sawToolLoop(): void {
      looped = true
    },
    reach: (): VerdictResult => verdict.reach({ looped }),
    facts,
    usage(): UsageChunkData {
      const { usage, ...others } = facts()
      return { ...usage, ...others }
    },
  }
}
