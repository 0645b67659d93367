import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Test, test } from 'tap'
import { startProcess } from '../support/process.ts'
import { temporaryFolder } from '../support/temporary.ts'

const run = promisify(execFile)

/** The lines of a document that a newcomer pastes into a second terminal. */
async function pasted(document: string): Promise<string> {
  const blocks = [...(await readFile(document, 'utf8')).matchAll(/^```sh\n(.*?)^```$/gms)]
  const block = blocks.map(([, text = '']) => text).find((text) => text.includes('curl'))
  if (block === undefined) throw new Error(`${document} has no curl lines.`)
  return block
}

/** `npm start` with the settings alone that keep it apart from other services on this machine. */
async function start(t: Test, environment: Record<string, string>) {
  const service = startProcess(t, ['npm', '--no-update-notifier', 'start'], { environment })
  const [, url = ''] = await service.line(/agent-chat-service {2}(\S+)/)
  const stop = async () => {
    service.signal('SIGTERM', 'group')
    t.strictSame(await service.ended, { code: 0, signal: null })
  }
  return { url, stop }
}

test('the lines of the documents work as pasted, and the conversation survives a restart', async (t) => {
  const folder = await temporaryFolder(t)
  const environment = {
    PORT: '0',
    LOCAL_DATA_DIR: join(folder, 'data'),
    npm_config_cache: join(folder, 'npm'),
  }
  const first = await start(t, environment)
  const env = { PATH: process.env.PATH, ENV_FILE: '', ...environment }
  const shell = async (script: string) => (await run('sh', ['-c', script], { env, timeout: 120_000 })).stdout

  const turn = join(folder, 'turn.json')
  const paste = async (document: string) =>
    shell(
      (await pasted(document))
        .replaceAll('localhost:3000', new URL(first.url).host)
        .replaceAll('/tmp/turn.json', turn),
    )
  t.match(await paste('README.md'), /"status":"queued".*"status":"(running|completed)"/s, 'of the README')
  const said = await paste('docs/getting-started.md')
  const { runId, conversationId } = JSON.parse(await readFile(turn, 'utf8'))
  t.match(runId, /^run_/)
  t.match(said, `{"runId":"${runId}","status":"queued","conversationId":"${conversationId}"}`)
  t.match(
    said,
    new RegExp(`{"runId":"${runId}","status":"(running|completed)"`),
    'the poll shows the same run',
  )
  const knows = 'Your first message was: "What is 17 * 23?"'
  t.ok(said.includes(JSON.stringify(knows)), 'the second question knows the first')
  t.match(said, /data: \{"type":"start".*data: \{"type":"text-delta".*data: \[DONE\]\n\n$/s)

  await first.stop()
  const second = await start(t, environment)
  const authorization = `Bearer ${(await shell('npm run -s token -- --sub alice')).trim()}`
  const call = async (path: string, init: RequestInit = {}) => {
    const headers = { authorization, 'content-type': 'application/json' }
    const response = await fetch(second.url + path, { ...init, headers })
    t.equal(response.status, 200, path)
    return (await response.json()) as { data: Array<{ text: string }> }
  }
  const { data } = await call(`/api/agent/conversations/${conversationId}/messages`)
  t.same(
    data.map(({ text }) => text),
    ['What is 17 * 23?', '17 * 23 = 391.', 'What was my first question?', knows],
  )
  const body = JSON.stringify({ message: 'What was my first question?', conversationId })
  const answer = await call('/api/agent/chat/sync', { method: 'POST', body })
  t.match(answer, { status: 'completed', text: knows }, 'and is known to a further question')
  await second.stop()
})
