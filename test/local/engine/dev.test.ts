import { cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { test } from 'tap'
import { ask, say } from '../../support/ask.ts'
import { startProcess } from '../../support/process.ts'
import { SECRET } from '../../support/service.ts'
import { temporaryFolder } from '../../support/temporary.ts'
import { eventually } from './conformance/suite.ts'

const PARTS = ['package.json', 'openapi.yaml', 'src', 'plugins', 'routes', 'migrations']

test('npm run dev answers with the agent as it is now, without a restart', async (t) => {
  const folder = await temporaryFolder(t)
  for (const part of PARTS) await cp(part, join(folder, part), { recursive: true })
  await symlink(resolve('node_modules'), join(folder, 'node_modules'))
  const environment = { PORT: '0', LOCAL_DATA_DIR: join(folder, '.data'), AUTH_JWT_SECRET: SECRET }
  // As a script of that folder; npm itself would need a home.
  const { dev } = JSON.parse(await readFile('package.json', 'utf8')).scripts as { dev: string }
  const command = `cd ${folder} && ${dev.replace('exec node', `exec ${process.execPath}`)}`
  const service = startProcess(t, ['sh', '-c', command], { environment })
  const [, url = ''] = await service.line(/agent-chat-service {2}(\S+)/)

  const answer = async (): Promise<string> => {
    const { body } = await say(url, 'What is 17 * 23?')
    const end = await eventually(
      async () => (await ask(url, `/api/agent/chat/${body.runId}?wait=30`)).body,
      ({ status }) => status === 'completed' || status === 'failed',
    )
    return end.text
  }
  t.equal(await answer(), '17 * 23 = 391.')

  const file = join(folder, 'src/agent/offline/plan.ts')
  const code = await readFile(file, 'utf8')
  await writeFile(file, code.replace('} = $', '} makes $'))
  t.equal(await eventually(answer, (text) => text.includes('makes')), '17 * 23 makes 391.')
  t.equal(service.output().match(/agent-chat-service {2}/g)?.length, 1, 'the service did not start anew')

  service.signal('SIGINT', 'group')
  await service.ended
})
