import t from 'tap'
import { type Chunk, UI_VERSIONS } from '../../src/streams/vocabulary.ts'
import { CLIENTS, readServed, textOf, typesOf } from './clients.ts'

/** Written by hand: every part that a version 7 worker may write, also those that no run of ours writes yet. */
const PARTS: Chunk[] = [
  { type: 'start', messageId: 'm1', messageMetadata: { runId: 'run_1', conversationId: 'c1' } },
  { type: 'custom', kind: 'anthropic.message_start' },
  { type: 'start-step' },
  { type: 'reasoning-start', id: 'r' },
  { type: 'reasoning-delta', id: 'r', delta: 'Let me see.' },
  { type: 'reasoning-end', id: 'r', providerMetadata: { any: { signature: 's' } } },
  { type: 'reasoning-file', mediaType: 'image/png', url: 'data:image/png;base64,AA==' },
  { type: 'tool-input-start', toolCallId: 't1', toolName: 'calculate' },
  { type: 'tool-input-delta', toolCallId: 't1', inputTextDelta: '{"expression":"1+1"}' },
  { type: 'tool-input-available', toolCallId: 't1', toolName: 'calculate', input: { expression: '1+1' } },
  { type: 'tool-output-available', toolCallId: 't1', output: { result: 2 } },
  { type: 'tool-input-available', toolCallId: 't2', toolName: 'drop', input: {} },
  { type: 'tool-approval-request', approvalId: 'a2', toolCallId: 't2' },
  { type: 'tool-approval-response', approvalId: 'a2', approved: false },
  { type: 'tool-output-denied', toolCallId: 't2' },
  { type: 'tool-input-available', toolCallId: 't3', toolName: 'fail', input: {} },
  { type: 'tool-output-error', toolCallId: 't3', errorText: 'The tool failed.' },
  { type: 'data-usage', data: { totalTokens: 3 }, transient: true },
  { type: 'data-weather', id: 'w', data: { degrees: 3 } },
  { type: 'source-url', sourceId: 's', url: 'https://example.org', title: 'Example' },
  { type: 'file', mediaType: 'text/plain', url: 'data:text/plain,x' },
  { type: 'steering-message', id: 'x', parts: [] },
  { type: 'of-the-future', anything: true },
  { type: 'text-start', id: 't' },
  { type: 'text-delta', id: 't', delta: 'It is ' },
  { type: 'text-delta', id: 't', delta: '2. 🦊' },
  { type: 'text-end', id: 't' },
  { type: 'message-metadata', messageMetadata: { runId: 'run_1', conversationId: 'c1' } },
  { type: 'finish-step' },
  { type: 'finish', finishReason: 'interrupted' },
]

const RECORDS = PARTS.map((chunk, index) => ({ index, chunk }))

for (const ui of UI_VERSIONS) {
  t.test(`the client of AI SDK ${ui} reads every part that it may be shown`, async (t) => {
    const { parts, message, thrown, errors } = await readServed(t, CLIENTS[ui], ui, RECORDS)
    t.same([thrown, errors], [undefined, []])
    t.equal(textOf(parts), 'It is 2. 🦊')
    t.match(
      message?.parts.filter(({ type }) => type.startsWith('tool-')),
      [
        { toolCallId: 't1', state: 'output-available', output: { result: 2 } },
        { toolCallId: 't2', state: ui === 5 ? 'output-error' : 'output-denied' },
        { toolCallId: 't3', state: 'output-error', errorText: 'The tool failed.' },
      ],
    )
    t.match(parts.at(-1), { type: 'finish', finishReason: ui === 7 ? 'interrupted' : 'other' })
    for (const type of ['of-the-future', 'data-usage']) t.notOk(typesOf(parts).includes(type), type)
    t.equal(typesOf(parts).includes('custom'), ui === 7)
    t.ok(typesOf(parts).includes('data-weather'))
  })

  t.test(`the client of AI SDK ${ui} reports an error when the connection is destroyed`, async (t) => {
    const { parts, thrown } = await readServed(t, CLIENTS[ui], ui, RECORDS.slice(0, -4), (response) =>
      setTimeout(() => response.destroy(), 50),
    )
    t.match(textOf(parts), /^It is/)
    t.type(thrown, Error, 'a cut answer does not look complete')
  })
}
