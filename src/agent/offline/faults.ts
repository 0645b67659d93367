import { setTimeout } from 'node:timers/promises'
import type { LanguageModelV4StreamPart } from '@ai-sdk/provider'
import { APICallError } from 'ai'
import type { Pace } from './parts.ts'
import { type Plan, planReply } from './plan.ts'
import type { Reading } from './prompt.ts'

/** A failure that a message asks for, such as `[[fail-after:5]]`. */
export interface Fault {
  name: string
  value: number
}

/** The first `[[name]]` or `[[name:number]]` in a message. */
export function findFault(message: string): Fault | undefined {
  const found = /\[\[([a-z-]+)(?::(\d+))?\]\]/.exec(message)
  return found?.[1] ? { name: found[1], value: Number(found[2] ?? 0) } : undefined
}

/** What has been said gets the time to leave the process before that dies or hangs. */
const LEAVE_MS = 500

const PLANS: Record<string, (value: number) => Plan> = {
  overflow: () => ({ text: `${'overflow'.repeat(128)} `.repeat(200) }),
  surrogate: () => ({ text: 'a lone \ud83d surrogate and an emoji \u{1f600} .' }),
  nul: () => ({ text: 'before \u0000 after' }),
  length: () => ({ text: 'This answer ends in the middle of', finishReason: 'length' }),
  filter: () => ({ text: 'This answer was', finishReason: 'content-filter' }),
  'tool-stall': (seconds) => ({ calls: [{ toolName: 'sleep', input: { seconds: seconds || 3600 } }] }),
  'tool-fail': () => ({ calls: [{ toolName: 'breaking', input: {} }] }),
  'tool-count': (to) => ({ calls: [{ toolName: 'counting', input: { to: to || 3 } }] }),
  'tool-again': () => ({ calls: [{ toolName: 'calculate', input: { expression: '1 / 0' } }] }),
  silent: () => ({}),
  'tool-big': (characters) => ({ calls: [{ toolName: 'filler', input: { characters } }] }),
  loop: (seconds) => ({
    calls: [
      seconds > 0
        ? { toolName: 'sleep', input: { seconds } }
        : { toolName: 'calculate', input: { expression: '1 + 1' } },
    ],
  }),
  'two-tools': () => ({
    calls: [
      { toolName: 'calculate', input: { expression: '17 * 23' } },
      { toolName: 'current_time', input: {} },
    ],
  }),
}

/** The plan of faults that lie in what is said; once tools have answered, the usual rules go on (but for loops). */
export function planFault(fault: Fault, reading: Reading): Plan | undefined {
  return reading.results.length > 0 && fault.name !== 'loop' && fault.name !== 'tool-again'
    ? planReply(reading)
    : PLANS[fault.name]?.(fault.value)
}

/** `[[fail]]` and `[[fail:429]]`: the provider refuses the call before its stream begins. */
export function refuse(fault: Fault | undefined): void {
  if (fault?.name === 'fail') throw providerError(fault.value || 500)
}

/** Lets the stream of a step fail in the way asked for, after as many words as asked for. */
export async function* sabotage(
  parts: AsyncGenerator<LanguageModelV4StreamPart>,
  { name, value }: Fault,
  { signal }: Pace,
): AsyncGenerator<LanguageModelV4StreamPart> {
  let words = 0
  for await (const part of name === 'surrogate' ? splitPairs(parts) : parts) {
    yield part
    if (part.type !== 'text-delta' || ++words !== (value || 5)) continue
    switch (name) {
      case 'fail-after':
        yield { type: 'error', error: providerError(500) }
        yield { type: 'finish', finishReason: { unified: 'error', raw: 'error' }, usage: NO_USAGE }
        return
      case 'throw-after':
        throw new TypeError('terminated')
      case 'stall-after':
        await setTimeout(3_600_000, undefined, signal ? { signal } : {})
        break
      case 'stall-hard':
        await setTimeout(LEAVE_MS)
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
        break
      case 'crash':
        await setTimeout(LEAVE_MS)
        process.exit(1)
    }
  }
}

const NO_USAGE = {
  inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: undefined, text: undefined, reasoning: undefined },
}

/** Sends the two halves of a surrogate pair in two deltas. */
async function* splitPairs(parts: AsyncGenerator<LanguageModelV4StreamPart>) {
  for await (const part of parts) {
    const pair = part.type === 'text-delta' ? part.delta.search(/[\ud800-\udbff][\udc00-\udfff]/) : -1
    if (part.type !== 'text-delta' || pair < 0) yield part
    else {
      yield { ...part, delta: part.delta.slice(0, pair + 1) }
      yield { ...part, delta: part.delta.slice(pair + 1) }
    }
  }
}

function providerError(statusCode: number): APICallError {
  return new APICallError({
    message: 'a fault was asked for; secret-of-the-provider',
    url: 'https://offline.invalid/',
    requestBodyValues: {},
    statusCode,
    responseBody: '{"error":"secret-of-the-provider"}',
    isRetryable: false,
  })
}
