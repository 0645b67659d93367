import { readFileSync } from 'node:fs'
import t from 'tap'
import { FAILURES } from '../../src/agent/failure.ts'
import { play, turnOf } from './turns.ts'
import { anthropic } from './wire/anthropic.ts'
import { CASES, type Case, type End } from './wire/cases.ts'
import type { Dialect } from './wire/dialect.ts'
import { google } from './wire/google.ts'
import { openaiChat } from './wire/openai-chat.ts'
import { openaiResponses } from './wire/openai-responses.ts'
import { refuses, says, startProvider } from './wire/server.ts'

const DIALECTS: Dialect[] = [openaiResponses, anthropic, google, openaiChat]
/** Beginnings and pauses that no test server needs; a busy machine gets the rest. */
const HASTY = { firstChunkMs: 60_000, chunkMs: 60_000, toolMs: 60_000 }
const STALLED = { firstChunkMs: 1500, chunkMs: 1500, toolMs: 1500 }

const endOf = ({ end, but }: Case, { name }: Dialect): End => but?.[name] ?? end

for (const dialect of DIALECTS) {
  t.test(`${dialect.name}: every end of a call has its finish reason or error code`, async (t) => {
    for (const one of CASES) {
      const { settings, wrong } = await startProvider(t, dialect, one.behaves(dialect))
      const timeouts = /^(no response|stall)/.test(one.name) ? STALLED : HASTY
      const played = await play(turnOf('Good day to you'), { settings: { ...settings, timeouts } })
      const { chunks, result, text, lines } = played
      const end = endOf(one, dialect)
      if ('finishReason' in end) {
        t.match(result, { status: 'completed', output: end }, one.name)
        t.match(chunks.at(-1), { type: 'finish', messageMetadata: end })
        t.not(text, '', 'no answer is silently empty')
        t.same(lines, [])
      } else {
        t.match(result, { status: 'failed', ...end }, one.name)
        t.same(chunks.at(-1), { type: 'error', errorText: FAILURES[end.errorCode].message })
        t.equal(lines.length, 1, 'the operator reads why')
        t.match(lines[0], end.errorCode)
      }
      if (one.text !== undefined) t.equal(text, one.text, one.name)
      t.notMatch(JSON.stringify(chunks), /sk-secret/, 'the words of the provider are not for callers')
      t.notMatch(lines.join(), /sk-secret|Good day to you|key-/, 'neither keys nor the prompt are in the log')
      t.same(wrong, [])
    }
  })

  t.test(`${dialect.name}: parallel tools, then an answer, with reasoning and usage`, async (t) => {
    const calls = [
      { id: 'call_a', name: 'calculate', args: { expression: '2+3' } },
      { id: 'call_b', name: 'calculate', args: { expression: '4+5' } },
    ]
    const { settings, calls: received } = await startProvider(
      t,
      dialect,
      says(dialect, { reasoning: 'Let me see.', calls }),
      says(dialect, { text: 'It is 5 and 9.' }),
    )
    const { result, chunks, text } = await play(turnOf('What is 2+3, and 4+5?'), { settings })
    t.equal(text, 'It is 5 and 9.')
    t.match(result, {
      status: 'completed',
      output: {
        finishReason: 'stop',
        steps: 2,
        model: 'some-model',
        usage: { inputTokens: 200, outputTokens: 40, totalTokens: 240, cachedInputTokens: 120 },
      },
    })
    t.equal(chunks.filter(({ type }) => type === 'tool-output-available').length, 2)
    t.notMatch(JSON.stringify([chunks, result]), /"type":"custom"/, 'notes of the provider stay here')
    const second = JSON.stringify(received[1]?.body)
    t.match(second, /result[^}]*5.*result[^}]*9/s, 'the results go back')
    if (dialect !== openaiChat) t.match(second, /sealed/, 'and so does the signed reasoning')
    const third = await play(turnOf('Thanks', historyOf(result)), { settings })
    t.equal(third.text, 'It is 5 and 9.')
    t.notMatch(JSON.stringify(received.at(-1)?.body), /sealed/, 'but not in a later turn')
  })

  t.test(`${dialect.name}: the retry time of the provider is passed on`, async (t) => {
    const { settings } = await startProvider(t, dialect, refuses(dialect, 'limit', { 'retry-after': '90' }))
    t.match((await play(turnOf('Hello'), { settings })).result, { retryAfter: 90 })
    const without = await startProvider(t, dialect, refuses(dialect, 'limit'))
    t.notOk('retryAfter' in (await play(turnOf('Hello'), { settings: without.settings })).result)
    const dated = new Date(Date.now() + 3_600_000).toUTCString()
    const later = await startProvider(t, dialect, refuses(dialect, 'limit', { 'retry-after': dated }))
    const { result } = await play(turnOf('Hello'), { settings: later.settings })
    t.ok(result.status === 'failed' && (result.retryAfter ?? 0) > 3000 && (result.retryAfter ?? 0) <= 3601)
  })

  t.test(
    `${dialect.name}: a call is repeated when the limit may pass, and not when the quota is used up`,
    async (t) => {
      const soon = { 'retry-after-ms': '1' }
      const busy = await startProvider(
        t,
        dialect,
        refuses(dialect, 'limit', soon),
        says(dialect, { text: 'Hi.' }),
      )
      t.equal((await play(turnOf('Hello'), { settings: { ...busy.settings, maxRetries: 2 } })).text, 'Hi.')
      t.equal(busy.calls.length, 2)
      const broke = await startProvider(t, dialect, refuses(dialect, 'quota', soon))
      await play(turnOf('Hello'), { settings: { ...broke.settings, maxRetries: 2 } })
      t.equal(broke.calls.length, 1)
    },
  )
}

function historyOf(result: Awaited<ReturnType<typeof play>>['result']) {
  return result.status === 'completed'
    ? [turnOf('What is 2+3, and 4+5?').message, result.output.uiMessage]
    : []
}

const word = (end: End) =>
  'finishReason' in end
    ? `completed, \`${end.finishReason}\``
    : `failed, \`${end.errorCode}\`${FAILURES[end.errorCode].retryable ? ', retryable' : ''}`

t.test('the guide has the table of these ends', (t) => {
  const rows = CASES.map(
    (one) => `| ${[one.name, ...DIALECTS.map((of) => word(endOf(one, of)))].join(' | ')} |`,
  )
  const heads = ['', ...DIALECTS.map(({ name }) => `\`${name}\``)]
  const table = [`| ${heads.join(' | ')} |`, `|${'---|'.repeat(heads.length)}`, ...rows].join('\n')
  if (process.env.PRINT_TABLE) console.error(table)
  t.ok(readFileSync('docs/agent.md', 'utf8').includes(table), 'PRINT_TABLE=1 prints it')
  t.end()
})
