import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t, { type Test } from 'tap'
import { snippetsOf } from '../ship/guide.ts'
import { ready } from '../streams/sse.ts'
import { openBrowser, openPage, WITHOUT_BROWSER } from '../support/browser.ts'
import { startEngine, startService, token } from '../support/service.ts'
import { temporaryFolder } from '../support/temporary.ts'

const FIVE = '2 + 3 = 5.'

/** What each piece of the guide brings about, in the order of the guide. The scenes are in pieces.mjs. */
const EFFECTS: Record<string, object> = {
  headers: { answer: FIVE, authorization: true },
  short: { answer: FIVE, sent: 10 },
  loading: { stored: [{ role: 'user' }, { role: 'assistant' }], shown: ['What is 2 + 3?', FIVE] },
  reconnecting: { url: '/api/agent/chat/stream/{id}/stream?ui=5', type: 'start' },
  stop: { runIs: 'cancelled' },
  busy: { cancelled: 'cancelled', answer: FIVE, forOne: 'interrupt', forAll: 'interrupt' },
  errors: { code: 'conversation_not_found', other: 'undefined' },
  hook: {
    states: {
      'tool-send_note': { state: 'output-denied' },
      'tool-choose_option': { state: 'output-available', output: { choice: 'tea' } },
    },
    continued: 'completed',
  },
  approval: { first: 'approved', late: 409, alerts: ['Somebody has decided already.'] },
  edit: { texts: ['What is 3 + 4?', '3 + 4 = 7.'], stale: ['What is 3 + 4?', '3 + 4 = 7.'], error: /\w/ },
  assistantUi: { texts: ['My name is Ada.', /Ada/, 'What is my name?', 'Your name is Ada.'] },
}

/** The names that a piece uses and does not make. */
const AROUND =
  'api, service, headers, transport, messages, sendMessage, stop, stored, conversationId, runId, actionId, text, messageId, toolCallId, freshToken, useChat, DefaultChatTransport'

/** The piece as a module: a function of what is around it, which returns what the piece has made. */
function moduleOf(code: string): string {
  const imports = code.match(/^import .*?from '.*?'$/gms) ?? []
  const body = imports.reduce((rest, line) => rest.replace(line, ''), code)
  const made = Array.from(body.matchAll(/^(?:const|function) (\w+)/gm), ([, name]) => name)
  const imported = imports.join(' ')
  const around = AROUND.split(', ').filter((name) => !new RegExp(`\\b${name}\\b`).test(imported))
  return [
    ...imports,
    imported.includes('DefaultChatTransport')
      ? ''
      : "import { DefaultChatTransport as transports } from 'ai'",
    'export default async (values) => {',
    `const { ${around.join(', ')} } = { DefaultChatTransport: transports, ...values }`,
    `{ ${body}\nreturn { ${made.join(', ')} } }`,
    '}',
  ].join('\n')
}

/** The script of the page: the scenes with the pieces of the guide. */
async function script(t: Test): Promise<string> {
  const folder = await temporaryFolder(t)
  const pieces = snippetsOf('docs/pages.md', ['js', 'jsx']).filter(({ name }) => name !== 'chat.jsx')
  t.equal(pieces.length, Object.keys(EFFECTS).length, 'each piece of the guide has a scene')
  for (const [at, { code }] of pieces.entries())
    writeFileSync(join(folder, `piece-${at}.mjs`), moduleOf(code))
  const list = pieces.map((_, at) => `import piece${at} from './piece-${at}.mjs'`)
  writeFileSync(
    join(folder, 'pieces.mjs'),
    `${list.join('\n')}\nexport default [${pieces.map((_, at) => `piece${at}`)}]`,
  )
  const place = (name: string) => fileURLToPath(import.meta.resolve(name))
  const hooks = fileURLToPath(new URL('pieces-hooks.mjs', import.meta.url))
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('pieces.mjs', import.meta.url))],
    bundle: true,
    format: 'iife',
    write: false,
    nodePaths: [resolve('node_modules')],
    define: { 'process.env.NODE_ENV': '"production"' },
    alias: {
      pieces: join(folder, 'pieces.mjs'),
      'real-react': place('@ai-sdk/react'),
      'real-assistant-ui': place('@assistant-ui/react-ai-sdk'),
    },
    // The pieces import hooks, and call them outside of a component.
    plugins: [
      {
        name: 'hooks',
        setup(build) {
          build.onResolve({ filter: /^@(ai-sdk\/react|assistant-ui\/react-ai-sdk)$/ }, ({ importer }) =>
            importer.startsWith(folder) ? { path: hooks } : undefined,
          )
        },
      },
    ],
  })
  return outputFiles[0]?.text ?? ''
}

t.test(
  'every piece of the guide for pages does what the guide says',
  { skip: WITHOUT_BROWSER },
  async (t) => {
    const [browser, engine, content] = await Promise.all([
      openBrowser(t),
      startEngine(t, { childEnv: { AGENT_OFFLINE_WORD_MS: '60' } }),
      script(t),
    ])
    const service = await startService(t, { engine })
    await ready(service)
    for (const [name, effect] of Object.entries(EFFECTS)) {
      await t.test(name, async (t) => {
        // A page of the service's own origin, with nothing in it.
        const page = await openPage(browser, { bypassCSP: true })
        const faults: string[] = []
        page.on('pageerror', (error) => faults.push(String(error)))
        await page.goto(`${service.url}/livez`)
        const settings = { service: service.url, token: await token(`alice-${name}`) }
        await page.evaluate(`globalThis.settings = ${JSON.stringify(settings)}`)
        await page.addScriptTag({ content })
        t.same(await page.evaluate('names'), Object.keys(EFFECTS))
        const seen = (await page.evaluate(`play('${name}')`)) as { stored?: object; all?: object }
        t.match(seen, effect)
        if (seen.all !== undefined) t.same(seen.stored, seen.all, 'the stored messages, in their order')
        t.same(faults, [])
        await page.close()
      })
    }
  },
)
