import { cleanJson } from '../../agent/clean.ts'
import { readReason } from '../../agent/finish-reason.ts'
import type { AgentOutput, IndexedChunk, TurnTimings } from '../../agent/turn.ts'
import { readWarnings } from '../../agent/warnings.ts'
import type { RunSnapshot } from '../../engine/run-engine.ts'
import type { EndFacts, RunFacts } from '../../stores/schema.ts'
import { lastCount } from './partial-usage.ts'

/** The facts in the output of a completed run. The outputs of older workers lack some of them. */
export function completedFacts(run: RunSnapshot, output: AgentOutput): EndFacts {
  const {
    finishReason,
    steps,
    model,
    timings,
    history,
    warnings,
    structured,
    window,
    steeredBy,
    pendingActions = [],
  } = output
  return {
    finishReason: readReason(finishReason),
    ...(steps === undefined ? {} : { steps }),
    ...named(model),
    ...timed(timings ?? timesOf(run)),
    ...(history === undefined ? {} : { history }),
    ...warned(warnings),
    ...(structured ? { structured } : {}),
    ...(steeredBy === undefined ? {} : { steeredBy }),
    ...(window === undefined ? {} : { window: cleanJson(window) }),
    ...(pendingActions.length === 0
      ? {}
      : { pendingActions: cleanJson(pendingActions), asked: askedOf(run) }),
  }
}

/** The parts of the request beside its message, from the payload of the run. */
function askedOf({ payload }: RunSnapshot): Record<string, unknown> {
  const { caller, context, limits, responseFormat } = payload ?? {}
  return cleanJson({ caller, context, limits, responseFormat })
}

/**
 * The facts of a run that did not complete, from the worker's newest count and from the times of the engine.
 * @param run undefined when the engine was not asked
 */
export function partialFacts(chunks: IndexedChunk[], run: RunSnapshot | undefined): RunFacts {
  const { counted, since } = lastCount(chunks)
  const begun = since.filter(({ chunk }) => chunk.type === 'start-step').length
  const steps = (counted?.steps ?? 0) + begun
  const { queuedMs, firstTokenMs } = counted?.timings ?? {}
  return {
    ...(steps === 0 ? {} : { steps }),
    ...named(counted?.model),
    ...(counted?.history === undefined ? {} : { history: counted.history }),
    ...warned(counted?.warnings),
    ...timed({
      ...(run === undefined ? {} : timesOf(run)),
      ...(queuedMs === undefined ? {} : { queuedMs }),
      ...(firstTokenMs === undefined ? {} : { firstTokenMs }),
    }),
    ...(run?.retryAfter === undefined ? {} : { retryAfter: run.retryAfter }),
  }
}

/** How long the run was queued and how long it executed, by the times of the engine. */
function timesOf({ createdAt, startedAt, finishedAt }: RunSnapshot): Partial<TurnTimings> {
  if (startedAt === undefined) return {}
  const queuedMs = Math.max(0, startedAt.getTime() - createdAt.getTime())
  return finishedAt === undefined
    ? { queuedMs }
    : { queuedMs, durationMs: Math.max(0, finishedAt.getTime() - startedAt.getTime()) }
}

const named = (model: string | undefined) => (model === undefined || model === '' ? {} : { model })
const warned = (sent: unknown) => {
  const warnings = readWarnings(sent)
  return warnings.length === 0 ? {} : { warnings }
}
const timed = (timings: Partial<TurnTimings>) => (Object.keys(timings).length === 0 ? {} : { timings })
