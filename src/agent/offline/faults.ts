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

/** Milliseconds in which the written words leave the process before the process dies or hangs. */
const LEAVE_MS = 500

const PLANS: Record<string, (value: number, message: string) => Plan> = {
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
  approve: (calls) => ({ calls: notes(calls || 1) }),
  stamp: (calls, message) => ({ calls: stamps(calls || 1, message) }),
  ask: () => ({ calls: [CHOICE] }),
  'approve-and-ask': (calls) => ({ calls: [...notes(calls || 1), CHOICE] }),
  'two-tools': () => ({
    calls: [
      { toolName: 'calculate', input: { expression: '17 * 23' } },
      { toolName: 'current_time', input: {} },
    ],
  }),
}

const CHOICE = { toolName: 'choose_option', input: { question: 'Which one?', options: ['red', 'green'] } }
const notes = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    toolName: 'send_note',
    input: { to: 'Ada', text: `Note ${n + 1}` },
  }))

/** `[[stamp:3]] file /tmp/x`, and `dies before`, `dies after` or `hangs`: then the first call dies or hangs. */
function stamps(count: number, message: string) {
  const file = /\bfile (\S+)/.exec(message)?.[1] ?? ''
  const dies = /\bdies (before|after)\b/.exec(message)?.[1]
  const trouble = {
    ...(dies === undefined ? {} : { dies }),
    ...(/\bhangs\b/.test(message) ? { hangs: true } : {}),
  }
  return Array.from({ length: count }, (_, n) => ({
    toolName: 'stamp',
    input: { file, text: `stamp-${n + 1}`, ...(n === 0 ? trouble : {}) },
  }))
}

/** The plan of a fault in the answer. Once tools have answered, the usual rules apply, except to faults that loop. */
export function planFault(fault: Fault, reading: Reading): Plan | undefined {
  return reading.results.length > 0 && fault.name !== 'loop' && fault.name !== 'tool-again'
    ? planReply(reading)
    : PLANS[fault.name]?.(fault.value, reading.message)
}

/** `[[fail]]` and `[[fail:429]]`: the provider refuses the call before its stream begins. */
export function refuse(fault: Fault | undefined): void {
  if (fault?.name === 'fail') throw providerError(fault.value || 500)
}

/** Lets the stream of a step fail as the fault says, after the number of words that the fault names. */
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
