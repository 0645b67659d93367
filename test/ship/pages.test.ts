import { execFileSync } from 'node:child_process'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'tap'
import { temporaryFolder } from '../support/temporary.ts'
import { snippetsOf } from './guide.ts'

/** What the pieces of the guide use and do not make: what a page has around them. */
const AROUND = `import type { UIMessage } from 'ai'
type Chat = ReturnType<typeof import('@ai-sdk/react').useChat<UIMessage<{ runId?: string }>>>
declare global {
  const useChat: typeof import('@ai-sdk/react').useChat
  const DefaultChatTransport: typeof import('ai').DefaultChatTransport
  const transport: import('ai').ChatTransport<UIMessage>
  const messages: Chat['messages']
  const sendMessage: Chat['sendMessage']
  const stop: Chat['stop']
  const stored: UIMessage[]
  const headers: Record<string, string>
  const api: string, service: string, conversationId: string, runId: string, actionId: string
  const text: string, messageId: string, toolCallId: string
  const freshToken: () => Promise<string>
}
`

test('the pieces of the guide for pages compile under --strict with the types of the AI SDK', async (t) => {
  const folder = await temporaryFolder(t)
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'around.d.ts'), AROUND)
  // The whole page, chat.jsx, is played in a browser: test/browser/chat.test.ts.
  const pieces = snippetsOf('docs/pages.md', ['js', 'jsx', 'ts', 'tsx']).filter(
    ({ name }) => name !== 'chat.jsx',
  )
  t.ok(pieces.length >= 9, 'the pieces were found')
  for (const [index, { code }] of pieces.entries())
    writeFileSync(join(folder, `piece-${index}.js`), `${code}\nexport {}\n`)
  const compilerOptions = {
    strict: true,
    noImplicitAny: false,
    noEmit: true,
    allowJs: true,
    checkJs: true,
    module: 'esnext',
    moduleResolution: 'bundler',
    target: 'es2023',
    lib: ['es2024', 'dom', 'dom.iterable'],
    skipLibCheck: true,
    types: [],
  }
  const project = { compilerOptions, include: ['*.js', '*.d.ts'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project))
  let faults = ''
  try {
    execFileSync(resolve('node_modules/.bin/tsc'), ['--project', folder], { encoding: 'utf8' })
  } catch (error) {
    faults = String((error as { stdout: string }).stdout)
  }
  t.equal(faults, '')
})
