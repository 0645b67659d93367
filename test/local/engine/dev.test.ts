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

  const end = async () => {
    const { body } = await say(url, 'What is 17 * 23?')
    return eventually(
      async () => (await ask(url, `/api/agent/chat/${body.runId}?wait=30`)).body,
      ({ status }) => status === 'completed' || status === 'failed',
    )
  }
  const answer = async (): Promise<string> => (await end()).text
  t.equal(await answer(), '17 * 23 = 391.')

  const file = join(folder, 'src/agent/offline/plan.ts')
  const code = await readFile(file, 'utf8')
  await writeFile(file, code.replace('} = $', '} makes $'))
  t.equal(await eventually(answer, (text) => text.includes('makes')), '17 * 23 makes 391.')

  await writeFile(file, `const fine = 1\nconst broken = {\n`)
  const place = `${file}:2: SyntaxError`
  await service.line(new RegExp(`the task files cannot be loaded: ${place}`))
  const failed = await end()
  t.match(failed, { status: 'failed', errorCode: 'system_failure', error: String }, 'a run fails at once')
  t.notMatch(failed.error, 'SyntaxError', 'callers learn nothing of the code')
  await service.line(
    new RegExp(
      `the local engine fails a run at once.*${failed.runId}|${failed.runId}.*the local engine fails a run at once`,
    ),
  )
  await writeFile(file, code.replace('} = $', '} gives $'))
  t.equal(await eventually(answer, (text) => text.includes('gives')), '17 * 23 gives 391.')
  const stacks = service.output().match(/SyntaxError/g)?.length ?? 0
  t.ok(stacks <= 4, `the fault was told ${stacks} times`)
  t.equal(service.output().match(/agent-chat-service {2}/g)?.length, 1, 'the service did not start anew')

  service.signal('SIGINT', 'group')
  await service.ended
})
