import type { UIMessageChunk } from 'ai'
import t, { type Test } from 'tap'
import type { AgentSettings } from '../../src/agent/settings.ts'
import { lastText, readJson } from '../../src/agent/structured/answer-text.ts'
import type { AgentTurn, TurnLimits, TurnMessage } from '../../src/agent/turn.ts'
import { play, say, turnOf } from './turns.ts'
import { anthropic } from './wire/anthropic.ts'
import type { Dialect, Said } from './wire/dialect.ts'
import { google } from './wire/google.ts'
import { openaiChat } from './wire/openai-chat.ts'
import { openaiResponses } from './wire/openai-responses.ts'
import { open, says, startProvider } from './wire/server.ts'

const schema = {
  type: 'object',
  properties: { city: { type: 'string' }, people: { type: 'integer', minimum: 1 } },
  required: ['city', 'people'],
  additionalProperties: false,
}
const responseFormat = { type: 'json_schema' as const, name: 'city', schema }
const BONN = { city: 'Bonn', people: 335_000 }
const VALID = JSON.stringify(BONN)
const INVALID = '{"city":"Bonn","people":"many"}'

const asked = (history: TurnMessage[] = [], limits?: TurnLimits): AgentTurn => ({
  ...turnOf('Which city?', history),
  responseFormat,
  ...(limits === undefined ? {} : { limits }),
})

async function provider(t: Test, dialect: Dialect, ...answers: Said[]) {
  return startProvider(t, dialect, ...answers.map((said) => says(dialect, said)))
}

async function answerOf(turn: AgentTurn, settings: AgentSettings) {
  const { result, ...played } = await play(turn, { settings })
  const output = result.status === 'completed' ? result.output : undefined
  const value = output?.structured ? readJson(lastText(output.uiMessage.parts))?.value : undefined
  return { result, value, finishReason: output?.finishReason, steps: output?.steps, ...played }
}

for (const dialect of [openaiResponses, anthropic, google, openaiChat]) {
  t.test(`${dialect.name}: an answer that fits is the output`, async (t) => {
    const { settings, calls } = await provider(t, dialect, { text: VALID })
    const { value, finishReason } = await answerOf(asked(), settings)
    t.same(value, BONN)
    t.equal(finishReason, 'stop')
    const body = JSON.stringify(calls[0]?.body)
    t.match(body, /fits this JSON Schema/, 'the instructions name the form')
    if (dialect === openaiResponses)
      t.match(calls[0]?.body, { text: { format: { type: 'json_schema', strict: false } } })
    if (dialect === openaiChat || dialect === google) t.notMatch(body, /response_format|responseMimeType/)
  })

  t.test(`${dialect.name}: an answer that does not fit is repaired once`, async (t) => {
    const { settings, calls } = await provider(
      t,
      dialect,
      { text: INVALID },
      { text: `\`\`\`json\n${VALID}\n\`\`\`` },
    )
    const { value, steps, text } = await answerOf(asked(), settings)
    t.same(value, BONN)
    t.equal(steps, 2)
    t.match(text, INVALID, 'what the model said first stays visible')
    t.match(JSON.stringify(calls[1]?.body), /\/people must be integer/, 'the model is told what is wrong')
  })
}

for (const dialect of [anthropic, google]) {
  t.test(
    `${dialect.name}: a model without structured output beside tools answers by a tool of the SDK`,
    async (t) => {
      const call = { id: 'call_1', name: 'json', args: BONN }
      const { settings: own, calls } = await provider(t, dialect, { calls: [call] })
      const models = own.models.map((one) =>
        dialect === google ? { ...one, model: 'gemini-2.5-flash' } : one,
      )
      const settings = { ...own, models }
      const { value, finishReason, text, chunks } = await answerOf(asked(), settings)
      t.match(JSON.stringify(calls[0]?.body), /"name":"json"/)
      t.same(value, BONN)
      t.equal(finishReason, 'stop')
      t.equal(text, VALID)
      t.notOk(chunks.some(({ type }) => type.startsWith('tool-')))
    },
  )
}

t.test('an answer that never fits fails the turn, and its text is kept', async (t) => {
  const { settings, calls } = await provider(t, openaiChat, { text: 'The city is Bonn.' })
  const { result, chunks, text, lines } = await answerOf(asked(), settings)
  t.match(result, { status: 'failed', errorCode: 'output_invalid' })
  t.match(chunks.at(-1), { type: 'error' })
  t.equal(text, 'The city is Bonn.The city is Bonn.')
  t.equal(calls.length, 2)
  t.equal(lines.length, 1)
  t.notMatch(lines[0], /Bonn/, 'the log has no word of the answer')
})

t.test('tools are used before the answer, and their results are there for the repair', async (t) => {
  const call = { id: 'call_1', name: 'calculate', args: { expression: '335000 * 1' } }
  const { settings, calls } = await provider(
    t,
    openaiChat,
    { calls: [call] },
    { text: 'Done!' },
    { text: VALID },
  )
  const { value, steps } = await answerOf(asked(), settings)
  t.same(value, BONN)
  t.equal(steps, 3)
  t.match(JSON.stringify(calls[2]?.body), /335000.*Done!.*It is not JSON/)
})

t.test('the history goes on in front of the question', async (t) => {
  const { settings, calls } = await provider(t, anthropic, { text: VALID })
  const history = [say('user', 'I live on the Rhine.'), say('assistant', 'I see.')]
  t.same((await answerOf(asked(history), settings)).value, BONN)
  t.match(JSON.stringify(calls[0]?.body), /I live on the Rhine/)
})

t.test('a cancel in the repair is a cancel', async (t) => {
  const { settings } = await startProvider(t, openaiChat, says(openaiChat, { text: INVALID }), (response) => {
    open(response).flushHeaders()
  })
  const stop = new AbortController()
  let steps = 0
  const write = (chunk: UIMessageChunk) => {
    if (chunk.type === 'finish-step' && ++steps === 1) setImmediate(() => stop.abort())
  }
  t.match((await play(asked(), { settings, signal: stop.signal, write })).result, { status: 'cancelled' })
})

t.test('an answer that a limit has cut is not judged', async (t) => {
  const { settings } = await provider(t, openaiChat, { text: '{"city":"Bo', end: 'length' })
  const { result, finishReason, value } = await answerOf(asked(), settings)
  t.equal(result.status, 'completed')
  t.equal(finishReason, 'length')
  t.equal(value, undefined)
  const stalled = await startProvider(t, openaiChat, (response) => {
    open(response).write(openaiChat.events({ text: VALID }).slice(0, 2).join(''))
  })
  const cut = await answerOf(asked([], { maxSeconds: 1 }), stalled.settings)
  t.equal(cut.finishReason, 'time_limit')
  t.equal(cut.value, undefined)
})

t.test('a repair that a limit cuts ends with the limit', async (t) => {
  const { settings } = await startProvider(t, openaiChat, says(openaiChat, { text: INVALID }), (response) => {
    open(response).write(openaiChat.events({ text: VALID }).slice(0, 2).join(''))
  })
  const { result, finishReason, value } = await answerOf(asked([], { maxSeconds: 1 }), settings)
  t.equal(result.status, 'completed')
  t.equal(finishReason, 'time_limit')
  t.equal(value, undefined)
})

t.test('a turn that has used up its steps is not repaired', async (t) => {
  const { settings, calls } = await provider(t, openaiChat, { text: INVALID }, { text: VALID })
  const { result } = await answerOf(asked([], { maxSteps: 1 }), settings)
  t.match(result, { status: 'failed', errorCode: 'output_invalid' })
  t.equal(calls.length, 1)
})
