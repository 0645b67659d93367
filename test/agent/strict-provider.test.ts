import { readUIMessageStream, type UIMessageChunk } from 'ai'
import t from 'tap'
import type { AgentTurn, HistoryMessage, TurnSummary } from '../../src/agent/turn.ts'
import { play, say, turnOf } from './turns.ts'
import { anthropic } from './wire/anthropic.ts'
import type { Dialect, Said } from './wire/dialect.ts'
import { openaiChat } from './wire/openai-chat.ts'
import { type Behaviour, type Call, open, refuse, says, startProvider } from './wire/server.ts'

/** A generator with a seed: a run that failed can be repeated. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32
    return state / 2 ** 32
  }
}

type Message = { role: string; content?: unknown; tool_calls?: { id: string }[]; tool_call_id?: string }
type Block = {
  type: string
  text?: string
  id?: string
  tool_use_id?: string
  input?: unknown
  content?: unknown
}

const isBlank = (value: unknown) => value === undefined || (typeof value === 'string' && value.trim() === '')

/** What a strict chat template refuses, in words; undefined when it takes the prompt. */
function chatFault({ body }: Call): string | undefined {
  const [system, ...messages] = body.messages as Message[]
  if (system?.role !== 'system') return 'no instructions'
  if (
    [body.tools, ...messages.map((one) => one.tool_calls)].some((list) => Array.isArray(list) && !list.length)
  )
    return 'an empty list'
  let before = 'system'
  let open: string[] = []
  for (const { role, content, tool_calls: calls = [], tool_call_id: answered } of messages) {
    if (role === 'tool') {
      if (!open.includes(answered ?? '')) return 'a result without its call'
      open = open.filter((id) => id !== answered)
    } else if (open.length > 0) return 'a call without its result'
    if (role === 'user' && !['system', 'assistant'].includes(before)) return `user after ${before}`
    if (role === 'assistant' && !['user', 'tool'].includes(before)) return `assistant after ${before}`
    if (Array.isArray(content) || (isBlank(content) && calls.length === 0) || content === '')
      return 'blank content'
    if (calls.some(({ id }) => !/^[\w-]{1,40}$/.test(id))) return 'a bad id'
    open.push(...calls.map(({ id }) => id))
    before = role
  }
  return ['user', 'tool'].includes(before) ? undefined : `ends with ${before}`
}

/** What Anthropic refuses. */
function anthropicFault({ body }: Call): string | undefined {
  const messages = body.messages as { role: string; content: Block[] }[]
  const ids = messages.flatMap(({ content }) => content.flatMap(({ id }) => id ?? []))
  if (new Set(ids).size < ids.length) return 'ids are not unique'
  let open: string[] = []
  for (const [at, { role, content }] of messages.entries()) {
    if (role !== (at % 2 === 0 ? 'user' : 'assistant')) return 'roles do not alternate'
    if (!Array.isArray(content) || content.length === 0) return 'an empty list'
    const results = content.flatMap(({ tool_use_id: id }) => id ?? [])
    if (open.length !== results.length || open.some((id) => !results.includes(id)))
      return 'calls without results'
    for (const { type, text, input, id, content: inner } of content) {
      if (type === 'text' && isBlank(text)) return 'a blank text'
      if (type === 'tool_use' && (typeof input !== 'object' || !/^[\w-]+$/.test(id ?? '')))
        return 'a bad call'
      if (type === 'tool_result' && (isBlank(inner) || (Array.isArray(inner) && !inner.length)))
        return 'a blank result'
    }
    open = content.flatMap(({ type, id }) => (type === 'tool_use' && id ? [id] : []))
  }
  return messages.at(-1)?.role === 'user' ? undefined : 'does not end with the user'
}

/** How the model of one call behaves, blanks, failures and tools included. */
function behaviour(dialect: Dialect, next: () => number): Behaviour {
  const pick = <T>(...choices: T[]): T => choices[Math.floor(next() * choices.length)] as T
  const call = () => ({
    id: pick('call_0', 'call_1', `call_${'x'.repeat(60)}`, 'call:1'),
    name: pick('calculate', 'current_time', 'missing_tool'),
    args: pick({ expression: '1 + 1' }, { expression: '1 / 0' }, {}),
  })
  const said: Said = pick<() => Said>(
    () => ({ text: 'Yes.' }),
    () => ({ text: '  \n' }),
    () => ({ reasoning: 'Hm.' }),
    () => ({}),
    () => ({ text: ' ', calls: [call()] }),
    () => ({ reasoning: 'Hm.', text: 'Wait.', calls: [call()] }),
    () => ({ text: 'Ye', end: 'length' }),
    () => ({ text: 'Never', end: 'filter' }),
  )()
  const events = dialect.events(said)
  return pick<Behaviour>(
    says(dialect, said),
    says(dialect, said),
    (response) => open(response).end(events.slice(0, Math.ceil(events.length / 2)).join('')),
    (response) => refuse(response, dialect.refusal('server')),
    (response) => response.destroy(),
  )
}

/** The answer as the service keeps it: whole, or what the stream of a broken turn shows. */
async function kept(chunks: UIMessageChunk[], status: 'cancelled' | 'failed'): Promise<HistoryMessage[]> {
  let partial: HistoryMessage | undefined
  const stream = ReadableStream.from(chunks)
  for await (const { id, role, parts } of readUIMessageStream({ stream, onError: () => {} }))
    partial = { id, role, parts }
  return partial === undefined || partial.parts.length === 0 ? [] : [{ ...partial, status }]
}

for (const [dialect, faultOf, contextTokens] of [
  [openaiChat, chatFault, undefined],
  [anthropic, anthropicFault, undefined],
  [openaiChat, chatFault, 1500],
  [anthropic, anthropicFault, 1500],
] as const) {
  const window = contextTokens === undefined ? '' : ` within ${contextTokens} tokens`
  t.test(`${dialect.name}: in 200 turns of one conversation${window} no prompt is refused`, async (t) => {
    const next = random(17)
    const faults: string[] = []
    const { settings, calls } = await startProvider(t, dialect, (response, call) => {
      const fault = faultOf(call)
      if (fault !== undefined) faults.push(fault)
      behaviour(dialect, next)(response, call)
    })
    const history: HistoryMessage[] = [say('assistant', 'Welcome!'), say('user', ''), say('user', 'Hi')]
    let summary: TurnSummary | undefined
    const statuses = new Map<string, number>()
    for (let n = 0; n < 200; n++) {
      const stop = new AbortController()
      const stopAt = next() < 0.2 ? Math.ceil(next() * 6) : Number.POSITIVE_INFINITY
      let written = 0
      const turn: AgentTurn = {
        ...turnOf(next() < 0.05 ? '\u0085' : `Question ${n}`, history),
        ...(summary === undefined ? {} : { summary }),
      }
      turn.message = { ...turn.message, id: `question-${n}` }
      turn.assistantMessageId = `answer-${n}`
      const { chunks, result } = await play(turn, {
        settings: { ...settings, maxSteps: 4, ...(contextTokens === undefined ? {} : { contextTokens }) },
        signal: stop.signal,
        write: (chunk) => {
          gathered.push(chunk)
          if (++written === stopAt) stop.abort()
        },
      }).then((played) => ({ ...played, chunks: gathered.splice(0) }))
      statuses.set(result.status, (statuses.get(result.status) ?? 0) + 1)
      if (result.status === 'failed') t.not(result.errorCode, 'invalid_history')
      const answer =
        result.status === 'completed' ? [result.output.uiMessage] : await kept(chunks, result.status)
      history.push(turn.message, ...answer)
      if (result.status !== 'completed' || result.output.window?.summary === undefined) continue
      summary = result.output.window.summary
      const { through } = result.output.window.summary
      history.splice(0, 1 + history.findLastIndex(({ id }) => through.includes(id)))
    }
    t.same([...new Set(faults)], [])
    t.ok(
      calls.length > 200 &&
        ['completed', 'failed', 'cancelled'].every((status) => (statuses.get(status) ?? 0) > 10),
    )
    t.equal(summary !== undefined, contextTokens !== undefined)
    t.comment(JSON.stringify(Object.fromEntries(statuses)), `${calls.length} calls`)
  })
}

const gathered: UIMessageChunk[] = []
