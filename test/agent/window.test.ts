import t, { type Test } from 'tap'
import type { AgentTurn, HistoryMessage } from '../../src/agent/turn.ts'
import { play, say, turnOf } from './turns.ts'
import { openaiChat } from './wire/openai-chat.ts'
import { type Behaviour, type Call, refuse, says, startProvider } from './wire/server.ts'

const WORDS = 'word '.repeat(200)
let ids = 0
const message = (role: 'user' | 'assistant', text: string): HistoryMessage => ({
  ...say(role, text),
  id: `m${++ids}`,
})
/** Turns with a thousand characters in each message. */
const turns = (count: number, from = 1): HistoryMessage[] =>
  Array.from({ length: count }, (_, n) => [
    message('user', `Question ${n + from}. ${WORDS}`),
    message('assistant', `Answer ${n + from}. ${WORDS}`),
  ]).flat()

const withTool = (output: string): HistoryMessage => ({
  id: `m${++ids}`,
  role: 'assistant',
  parts: [
    { type: 'tool-filler', toolCallId: `call-${ids}`, state: 'output-available', input: {}, output },
    { type: 'text', text: 'The tool has answered.' },
  ],
})

const isSummary = ({ body }: Call) => JSON.stringify(body).includes('You write the summary')
const promptOf = (call: Call | undefined) => JSON.stringify(call?.body.messages)

/** A provider that writes this summary, and answers everything else with "Yes." */
async function provider(t: Test, summary: Behaviour = says(openaiChat, { text: 'A short summary.' })) {
  const answer = says(openaiChat, { text: 'Yes.' })
  const started = await startProvider(t, openaiChat, (response, call) =>
    (isSummary(call) ? summary : answer)(response, call),
  )
  const settingsOf = (contextTokens?: number) => ({
    ...started.settings,
    ...(contextTokens === undefined ? {} : { contextTokens }),
  })
  return { ...started, settingsOf }
}

async function ask(turn: AgentTurn, settings: Parameters<typeof play>[1] = {}) {
  const { result, lines } = await play(turn, settings)
  return { result, lines, output: result.status === 'completed' ? result.output : undefined }
}

t.test('without AGENT_CONTEXT_TOKENS a prompt has the newest 50 messages', async (t) => {
  const { calls, settingsOf } = await provider(t)
  const { output } = await ask({ ...turnOf('And?', turns(40)), omitted: 7 }, { settings: settingsOf() })
  t.same(output?.history, { sent: 50, summarized: 0, dropped: 37 })
  t.notOk('window' in (output ?? {}))
  t.equal(calls.length, 1)
  t.match(promptOf(calls[0]), /Question 16\./)
  t.notMatch(promptOf(calls[0]), /Question 15\./)
})

t.test('a history that fits is sent whole', async (t) => {
  const { calls, settingsOf } = await provider(t)
  const { output } = await ask(turnOf('And?', turns(3)), { settings: settingsOf(10_000) })
  t.same(output?.history, { sent: 6, summarized: 0, dropped: 0 })
  t.equal(calls.length, 1)
  t.match(output?.window, { charactersPerToken: Number })
})

t.test('old results of tools are cut before anything is summarised', async (t) => {
  const { calls, settingsOf } = await provider(t)
  const history = [
    message('user', 'First'),
    withTool('a'.repeat(9000)),
    message('user', 'Second'),
    withTool('b'.repeat(3000)),
  ]
  const { output } = await ask(turnOf('And?', history), { settings: settingsOf(3000) })
  t.same(output?.history, { sent: 4, summarized: 0, dropped: 0 })
  t.equal(calls.length, 1)
  t.match(promptOf(calls[0]), /a{400}.*\[cut: \d+ characters\]/)
  t.match(promptOf(calls[0]), /b{3000}/, 'the newer result stays whole')
})

t.test('the oldest turns are summarised once, and the summary is kept', async (t) => {
  const { calls, settingsOf } = await provider(t)
  const history = turns(12)
  const first = await ask(turnOf('And?', history), { settings: settingsOf(5000) })
  const { summary } = first.output?.window ?? {}
  t.equal(calls.filter(isSummary).length, 1)
  t.match(promptOf(calls[0]), /Question 1\. /)
  t.match(promptOf(calls[1]), /\[Summary of the earlier conversation\]\\nA short summary\./)
  t.match(summary, { text: 'A short summary.', dropped: 0 })
  const { sent = 0, summarized = 0 } = first.output?.history ?? {}
  t.equal(sent + summarized, 24)
  t.equal(summary?.messages, summarized)
  t.same(summary?.through, [history[summarized - 1]?.id, history[summarized - 2]?.id])
  t.match(first.output, { steps: 1, usage: { inputTokens: 200, outputTokens: 40 } }, 'its tokens count')

  const rest = {
    ...turnOf('And now?', history.slice(summarized)),
    ...(summary === undefined ? {} : { summary }),
  }
  const second = await ask(rest, { settings: settingsOf(5000) })
  t.equal(calls.length, 3, 'the next turn has room again')
  t.same(second.output?.history, { sent, summarized, dropped: 0 })
  t.notOk(second.output?.window && 'summary' in second.output.window)
})

t.test('a newer summary is made of the one before', async (t) => {
  const { calls, settingsOf } = await provider(t)
  const summary = { text: 'The name of the user is Ada.', messages: 30, dropped: 4 }
  const turn = { ...turnOf('And?', turns(12)), summary, omitted: 2 }
  const { output } = await ask(turn, { settings: settingsOf(5000) })
  t.match(promptOf(calls[0]), /Summary so far:\\nThe name of the user is Ada\./)
  const { sent = 0, summarized, dropped } = output?.history ?? {}
  t.equal(summarized, 30 + 24 - sent)
  t.equal(dropped, 6, 'messages before the history that no summary knows stay dropped')
  t.match(output?.window?.summary, { messages: summarized, dropped: 6 })
})

t.test('the oldest turns are summarised before a payload has no room for them', async (t) => {
  const { calls, settingsOf } = await provider(t)
  const short = Array.from({ length: 20 }, () => [
    message('user', 'Yes?'),
    message('assistant', 'Yes.'),
  ]).flat()
  const { output } = await ask(turnOf('And?', short), { settings: settingsOf(1_000_000) })
  t.equal(calls.filter(isSummary).length, 1)
  t.same(output?.history, { sent: 20, summarized: 20, dropped: 0 })
})

t.test('after a gap that a long message has made, no summary passes over the gap', async (t) => {
  const { calls, settingsOf } = await provider(t)
  const turn = { ...turnOf('x'.repeat(20_000), turns(4)), omitted: 10 }
  const { output } = await ask(turn, { settings: settingsOf(6500) })
  t.equal(calls.filter(isSummary).length, 0)
  t.ok((output?.history?.dropped ?? 0) > 10)
})

t.test('when the summary cannot be written, the turn goes on without the oldest messages', async (t) => {
  for (const summary of [
    (response: Parameters<Behaviour>[0]) => refuse(response, openaiChat.refusal('server')),
    says(openaiChat, { text: ' ' }),
  ]) {
    const { settingsOf } = await provider(t, summary)
    const { output, lines } = await ask(turnOf('And?', turns(12)), { settings: settingsOf(5000) })
    const { sent = 0, summarized, dropped } = output?.history ?? {}
    t.equal(summarized, 0)
    t.ok(sent > 0 && dropped === 24 - sent)
    t.equal(lines.length, 1)
    t.match(lines[0], /The conversation was not summarised/)
    t.notMatch(lines[0], /word word/)
  }
})

t.test('a summary that is too long is cut', async (t) => {
  const { settingsOf } = await provider(t, says(openaiChat, { text: '\u{1f600}'.repeat(10_000) }))
  const { output } = await ask(turnOf('And?', turns(20)), { settings: settingsOf(1_000_000) })
  t.ok(Buffer.byteLength(output?.window?.summary?.text ?? '') <= 8192)
  t.ok(output?.window?.summary?.text.isWellFormed())
})

t.test('a prompt that is refused as too long is sent once more, half as long', async (t) => {
  for (const contextTokens of [undefined, 100_000]) {
    const { calls, settings } = await startProvider(
      t,
      openaiChat,
      (response) => refuse(response, openaiChat.refusal('overflow')),
      says(openaiChat, { text: 'Yes.' }),
    )
    const own = { ...settings, ...(contextTokens === undefined ? {} : { contextTokens }) }
    const { output } = await ask(turnOf('And?', turns(10)), { settings: { ...own } })
    t.match(output, { finishReason: 'stop' })
    const { sent = 0, summarized = 0, dropped = 0 } = output?.history ?? {}
    t.equal(sent + summarized + dropped, 20)
    t.ok(sent < 12)
    t.equal(summarized > 0, contextTokens !== undefined, 'it is summarised where prompts are measured')
    t.ok(promptOf(calls.at(-1)).length < 0.6 * promptOf(calls[0]).length)
  }
})

t.test('a prompt that is refused a second time is the end', async (t) => {
  const { calls, settings } = await startProvider(t, openaiChat, (response) =>
    refuse(response, openaiChat.refusal('overflow')),
  )
  const { result, lines } = await ask(turnOf('And?', turns(10)), { settings })
  t.match(result, { status: 'failed', errorCode: 'context_overflow' })
  t.equal(calls.length, 2)
  t.equal(lines.length, 1)
})

t.test('a refusal after a tool has answered keeps what the tool has returned', async (t) => {
  const call = { id: 'call_1', name: 'filler', args: { characters: 20_000 } }
  const { calls, settings } = await startProvider(
    t,
    openaiChat,
    says(openaiChat, { calls: [call] }),
    (response) => refuse(response, openaiChat.refusal('overflow')),
    says(openaiChat, { text: 'Yes.' }),
  )
  const { faultTools } = await import('../../src/agent/offline/fault-tools.ts')
  const agent = { instructions: 'You help.', tools: () => ({ filler: faultTools.filler }) }
  const { output } = await ask(turnOf('Fill it'), { settings, agent })
  t.match(output, { finishReason: 'stop', steps: 2 })
  t.equal(output?.uiMessage.parts.filter(({ type }) => type === 'tool-filler').length, 1)
  t.match(promptOf(calls[2]), /\[cut: \d+ characters\]/)
  t.ok(promptOf(calls[2]).length < 12_000, `${promptOf(calls[2]).length}`)
})

t.test('the ratio that the provider has shown makes the next prompts fit', async (t) => {
  const { calls, settingsOf } = await provider(t)
  const known = { ...turnOf('And?', turns(8)), charactersPerToken: 1 }
  const { output } = await ask(known, { settings: settingsOf(10_000) })
  t.ok(
    (output?.history?.summarized ?? 0) > 0,
    'a token for each character: half of the messages have no room',
  )
  t.ok(promptOf(calls.at(-1)).length < 10_000)
})

t.test('a cancel while the summary is written is a cancel', async (t) => {
  const stop = new AbortController()
  const { settingsOf } = await provider(t, () => stop.abort())
  const { result } = await ask(turnOf('And?', turns(12)), { settings: settingsOf(5000), signal: stop.signal })
  t.match(result, { status: 'cancelled' })
})

t.test('the limit of time counts while the summary is written', async (t) => {
  const { settingsOf } = await provider(t, () => {})
  const turn = { ...turnOf('And?', turns(12)), limits: { maxSeconds: 1 } }
  const { output, lines } = await ask(turn, { settings: settingsOf(5000) })
  t.match(output, { finishReason: 'time_limit', uiMessage: { parts: [{ text: /limit of time/ }] } })
  t.same(lines, [])
})

t.test('no summary passes over a turn that could not be read', async (t) => {
  const { calls, settingsOf } = await provider(t)
  const { output } = await ask(turnOf('And?', turns(12)), { settings: settingsOf(5000), incomplete: true })
  t.equal(calls.filter(isSummary).length, 0)
  t.ok((output?.history?.dropped ?? 0) > 0)
})

t.test('a window that is smaller than the instructions leaves the message alone', async (t) => {
  const { calls, settingsOf } = await provider(t)
  const { output } = await ask(turnOf('And?', turns(3)), { settings: settingsOf(1000) })
  t.match(output, { finishReason: 'stop', history: { sent: 0 } })
  t.match(promptOf(calls.at(-1)), /And\?/)
})
