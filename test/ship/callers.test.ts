import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { startProcess } from '../support/process.ts'
import { secretOf, webhookSettings } from '../support/receiver.ts'
import { startService, token } from '../support/service.ts'
import { temporaryFolder } from '../support/temporary.ts'

const guide = readFileSync('docs/callers.md', 'utf8')

/** Writes the program that the guide shows under this name, with the packages of this repository. */
async function program(t: Test, name: string): Promise<string> {
  const folder = await temporaryFolder(t)
  const code = [...guide.matchAll(/^```js\n(.*?)^```$/gms)].map(([, text = '']) => text)
  const text = code.find((one) => one.startsWith(`// ${name}:`))
  if (text === undefined) throw new Error(`the guide has no ${name}`)
  symlinkSync(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

test('the receiver of the guide verifies what the service sends, also while a secret is replaced, and nothing else', async (t) => {
  const receiver = startProcess(t, [process.execPath, await program(t, 'receiver.mjs')], {
    environment: { WEBHOOK_SECRET: secretOf('old'), PORT: '0' },
  })
  const [, port] = await receiver.line(/^listening (\d+)/)
  const url = `http://127.0.0.1:${port}/`
  const forged = await fetch(url, {
    method: 'POST',
    headers: { 'webhook-id': 'x', 'webhook-timestamp': '1', 'webhook-signature': 'v1,AAAA' },
    body: '{}',
  })
  t.equal(forged.status, 401)
  const secrets = [secretOf('new'), secretOf('old')]
  const service = await startService(t, { environment: webhookSettings([{ name: 'guide', url, secrets }]) })
  const { body } = await service.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })
  await receiver.line(new RegExp(`^run.completed ${body.runId}$`))
  await service.call('DELETE', `/api/agent/conversations/${body.conversationId}`)
  await receiver.line(new RegExp(`^conversation.deleted ${body.conversationId}$`))
  const { body: list } = await service.call('GET', '/api/agent/webhook-deliveries')
  const [delivery] = list.data
  await service.call('POST', `/api/agent/webhook-deliveries/${delivery.id}/redeliver`)
  t.equal(receiver.output().split('conversation.deleted').length, 2, 'an id that it knows is passed over')
})

test('the watcher of the guide sees the turns of others, and goes on after a cut', async (t) => {
  const service = await startService(t)
  const environment = { AGENT_URL: service.url, AGENT_TOKEN: await token('alice', {}, '1h') }
  const watcher = startProcess(t, [process.execPath, await program(t, 'watch.mjs')], { environment })
  await watcher.line(/^now load what you show$/)
  const turn = async () => {
    const { body } = await service.call('POST', '/api/agent/chat/sync', { body: { message: 'hi' } })
    await watcher.line(new RegExp(`^run.completed ${body.runId}$`))
    return body.runId
  }
  const first = await turn()
  service.app.server.closeAllConnections()
  const second = await turn()
  const lines = watcher.output().split('\n')
  t.equal(lines.filter((line) => line === 'now load what you show').length, 1, 'it has resumed')
  for (const runId of [first, second])
    t.equal(lines.filter((line) => line === `run.completed ${runId}`).length, 1, 'each event comes once')
})
