import t from 'tap'
import type { TurnMessage } from '../../src/agent/turn.ts'
import { play, say, turnOf } from './turns.ts'
import { anthropic } from './wire/anthropic.ts'
import { google } from './wire/google.ts'
import { openaiChat } from './wire/openai-chat.ts'
import { openaiResponses } from './wire/openai-responses.ts'
import { says, startProvider } from './wire/server.ts'

const ADDRESS = 'http://files.invalid/secret.csv'
const ZIP = 'data:application/zip;base64,UEsFBg=='

const withFile = (mediaType: string, url: string): TurnMessage[] => [
  {
    id: 'u',
    role: 'user',
    parts: [
      { type: 'text', text: 'Look' },
      { type: 'file', mediaType, url },
    ],
  },
  say('assistant', 'I see'),
]

t.test('the worker fetches no file of a conversation', async (t) => {
  const { result } = await play(turnOf('Hello', withFile('text/csv', ADDRESS)))
  t.equal(result.status, 'completed')
})

for (const dialect of [openaiResponses, anthropic, google, openaiChat])
  t.test(`a file that ${dialect.name} does not take is named instead`, async (t) => {
    const provider = await startProvider(t, dialect, says(dialect, { text: 'Hello', end: 'stop' }))
    for (const [history, words] of [
      [withFile('text/csv', ADDRESS), `[A file of type text/csv at ${ADDRESS}, which is not shown here.]`],
      [withFile('application/zip', ZIP), '[A file of type application/zip, which is not shown here.]'],
    ] as const) {
      const { text } = await play(turnOf('Hello', history), { settings: provider.settings })
      t.equal(text, 'Hello')
      const sent = JSON.stringify(provider.calls.at(-1)?.body)
      // Some providers fetch addresses of any type, or take any type of file.
      t.ok(sent.includes(words) || /"(fileUri|file_data|file_url|inlineData)"/.test(sent), sent)
    }
    t.same(provider.wrong, [])
  })

t.test('a file whose address the provider fetches stays', async (t) => {
  const provider = await startProvider(
    t,
    openaiResponses,
    says(openaiResponses, { text: 'Hello', end: 'stop' }),
  )
  const history = withFile('image/png', 'https://files.invalid/a.png')
  await play(turnOf('Hello', history), { settings: provider.settings })
  t.match(JSON.stringify(provider.calls[0]?.body), /"image_url":"https:\/\/files\.invalid\/a\.png"/)
})
