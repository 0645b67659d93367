import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { test } from 'tap'
import { startProcess } from './support/process.ts'
import { temporaryFolder } from './support/temporary.ts'

const SECRET = 'a secret of the file .env, long enough for HS256'

/** Runs the launcher of a folder, as the npm scripts do. */
const launch = (folder: string, args: string, before = '') =>
  `cd ${folder} && exec ${process.execPath} ${before} src/bin/launch.mjs ${args}`

test('without packages the start fails with one sentence', async (t) => {
  const folder = await temporaryFolder(t)
  for (const part of ['package.json', 'src', 'plugins', 'routes']) {
    await cp(part, join(folder, part), { recursive: true })
  }
  const service = startProcess(t, ['sh', '-c', launch(folder, 'server')])
  t.equal((await service.ended).code, 1)
  t.match(service.output(), /^The package \S+ is not installed\. Run `npm ci` first\.$/)
})

test('an old Node makes the start fail with one sentence', async (t) => {
  const folder = await temporaryFolder(t)
  const old = join(folder, 'old.mjs')
  // What the launcher sees of a Node 20; that it only uses what a Node 20 understands is checked below.
  await writeFile(old, "Object.defineProperty(process.versions, 'node', { value: '20.1.0' })")
  const service = startProcess(t, ['sh', '-c', launch('.', 'server', `--import ${old}`)])
  t.equal((await service.ended).code, 1)
  t.match(
    service.output(),
    /^agent-chat-service needs Node 24 or newer, and this is Node 20\.1\.0\. .*npm ci.*$/,
  )
})

test('the npm scripts start with nothing that an old Node refuses', async (t) => {
  const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as {
    scripts: Record<string, string>
  }
  for (const name of ['start', 'dev', 'migrate', 'token', 'engine']) {
    t.match(
      scripts[name],
      /^(exec )?node (--(watch|watch-preserve-output|max-semi-space-size=1|v8-pool-size=1) )*src\/bin\/launch\.mjs /,
    )
  }
})

test('variables come from .env unless they are set', async (t) => {
  const folder = await temporaryFolder(t)
  await mkdir(join(folder, 'src/bin'), { recursive: true })
  await cp('src/bin/launch.mjs', join(folder, 'src/bin/launch.mjs'))
  await symlink(resolve('node_modules'), join(folder, 'node_modules'))
  await writeFile(
    join(folder, 'src/bin/show.ts'),
    'console.log(process.argv.slice(2).join(), process.env.AUTH_JWT_SECRET, process.env.PORT)',
  )
  await writeFile(join(folder, '.env'), `AUTH_JWT_SECRET="${SECRET}"\nPORT=1\n`)
  const shown = async (environment: Record<string, string>) => {
    const show = startProcess(t, ['sh', '-c', `${launch(folder, 'show --a b')}`], {
      environment,
    })
    t.equal((await show.ended).code, 0)
    return show.output()
  }
  t.equal(await shown({ ENV_FILE: '.env' }), `--a,b ${SECRET} 1`)
  t.equal(await shown({ ENV_FILE: '.env', PORT: '2' }), `--a,b ${SECRET} 2`)
  t.equal(await shown({}), '--a,b undefined undefined', 'tests start everything without it')
})
