import { writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { configure, runs } from '@trigger.dev/sdk'
import t from 'tap'
import { startLocalEngine } from '../../../src/local/engine/engine.ts'
import { began, ended, eventually, reaches, runToEnd, start } from './conformance/suite.ts'
import { isAlive, openEngine, request, SECRET, TASKS } from './helper.ts'
import { openProcess } from './process.ts'

/** tap adds these to the environment of every process that a test starts. */
const TAP_VARIABLES = /^(_TAPJS_|NODE_OPTIONS$)/

t.test('one engine', async (t) => {
  const engine = await openEngine(t, { maxChildren: 2, childEnv: { GIVEN: 'yes' } })

  t.test('children see the allowed variables and no other', async (t) => {
    const { env } = (await runToEnd('witness', {})).output as unknown as { env: string[] }
    const allowed = ['GIVEN', 'LANG', 'NODE_CHANNEL_FD', 'NODE_EXTRA_CA_CERTS', 'PATH', 'TRIGGER_API_URL']
    allowed.push('LOCAL_ENGINE_CHILD', 'NODE_CHANNEL_SERIALIZATION_MODE', 'TRIGGER_SECRET_KEY', 'TZ')
    t.same(
      env.filter((name) => !allowed.includes(name) && !TAP_VARIABLES.test(name)),
      [],
    )
    t.ok(env.includes('GIVEN') && env.includes('TRIGGER_API_URL'))
  })

  t.test('a line that a task prints is logged with the id of its run', async (t) => {
    const { id } = await runToEnd('talker', {})
    const lines = await eventually(
      async () => engine.lines.filter(({ fields }) => fields.runId === id),
      (found) => found.length >= 3,
    )
    t.match(lines, [
      { level: 'info', message: 'to the console { n: 1 }' },
      { level: 'error', message: 'to the error console' },
      { level: 'info', message: /to the logger .*"n":2/ },
    ])
    await eventually(
      async () => engine.lines,
      (all) => all.some(({ message }) => message === 'to stdout'),
    )
  })

  t.test('a child that blocks its event loop is killed when its run is cancelled', async (t) => {
    const id = await start('deaf', { ms: 120_000 })
    await began(id)
    await runs.cancel(id)
    t.equal((await ended(id)).status, 'CANCELED')
    t.equal((await runToEnd('echo', 1)).status, 'COMPLETED')
  })

  t.test('a task that needs more memory than a child may have fails alone', async (t) => {
    const beside = await start('patient', { ms: 120_000 })
    await began(beside)
    const run = await runToEnd('hog')
    t.match(run, { status: 'CRASHED', error: { message: /TASK_PROCESS_MAYBE_OOM_KILLED/ } })
    t.equal(run.attemptCount, 1)
    t.equal((await runs.retrieve(beside)).status, 'EXECUTING', 'the child beside it does not notice')
    await runs.cancel(beside)
  })

  t.test('a spare is warm again after a crash, and no more children live than allowed', async (t) => {
    const ids = await Promise.all([start('exits'), start('exits')])
    for (const id of ids) t.equal((await ended(id)).status, 'CRASHED')
    await eventually(
      async () => engine.stats().children,
      ({ idle, starting, busy }) => idle >= 1 && starting === 0 && busy === 0,
    )
    t.ok(engine.stats().pids.length <= 2)
  })

  t.test('a task that would wait for a child run fails and says why', async (t) => {
    const run = await runToEnd('waits-for-child')
    t.match(run, {
      status: 'FAILED',
      error: { message: 'The local engine does not implement triggerAndWait' },
    })
  })

  t.test('a second engine on the same port is refused', async (t) => {
    const log = { info() {}, warn() {}, error() {} }
    const port = Number(new URL(engine.url).port)
    await t.rejects(startLocalEngine({ taskModules: [TASKS], secretKey: SECRET, port, log }), {
      code: 'EADDRINUSE',
    })
  })

  t.test('the runs of an earlier start of the engine are reported as lost', async (t) => {
    const { id } = await runToEnd('echo', 1)
    t.ok(id.startsWith(`run_${engine.bootId}`))
    t.match(id, /^run_c[a-z0-9]{24}$/)
    const foreign = `run_c${'0'.repeat(24)}`
    const get = await request(`${engine.url}/api/v3/runs/${foreign}`)
    t.match(get, { status: 404, body: { error: 'Not found' } })
    t.equal(get.headers.get('x-run-lost'), 'true')
    t.equal(get.headers.get('x-should-retry'), 'true')
    const cancel = await request(`${engine.url}/api/v2/runs/${foreign}/cancel`, { method: 'POST' })
    t.match(cancel, { status: 404, body: { error: 'Resource not found' } })
    t.equal(cancel.headers.get('x-run-lost'), 'true')
    const never = await request(`${engine.url}/api/v3/runs/run_doesnotexist`)
    t.equal(never.headers.get('x-run-lost'), null)
  })

  t.test('the engine stops without leaving a process behind, not even a busy one', async (t) => {
    await began(await start('deaf', { ms: 120_000 }))
    const { pids } = engine.stats()
    t.ok(pids.length >= 1)
    await engine.stop()
    t.same(pids.filter(isAlive), [])
  })
})

t.test('a cancelled run frees its slot at once, and a new child takes the next run', async (t) => {
  const engine = await openEngine(t, { maxChildren: 1 })
  const ahead = await start('lingering', { ms: 120_000 }, { concurrencyKey: 'one' })
  await began(ahead)
  const [old = 0] = engine.stats().pids
  const next = await start('witness', {}, { queue: 'one-by-one', concurrencyKey: 'one' })
  t.equal((await runs.retrieve(next)).status, 'QUEUED')
  await runs.cancel(ahead)

  const { status, output } = await ended(next)
  t.equal(status, 'COMPLETED')
  t.not((output as unknown as { pid: number }).pid, old, 'another process than that of the cancelled run')
  t.ok(isAlive(old), 'which is still there')
  const cancelled = await runs.retrieve(ahead)
  t.match(
    { status: cancelled.status, finishedAt: cancelled.finishedAt },
    { status: 'CANCELED', finishedAt: undefined },
  )
  await engine.stop()
  t.notOk(isAlive(old))
})

const hasIPv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
)

t.test(
  'an engine on an IPv6 address is reached by its children too',
  { skip: !hasIPv6 && 'there is no ::1 here' },
  async (t) => {
    const { url } = await openEngine(t, { host: '::1', maxChildren: 1 })
    t.match(url, /^http:\/\/\[::1\]:\d+$/)
    t.equal((await runToEnd('writer', { count: 1 })).status, 'COMPLETED')
  },
)

t.test('task files', async (t) => {
  const folder = t.testdir({ tasks: {} })
  const file = join(folder, 'tasks', 'greeting.ts')
  const sdk = import.meta.resolve('@trigger.dev/sdk')
  const write = (body: string) =>
    writeFileSync(
      file,
      `import { task } from '${sdk}'\nexport const greet = task({ id: 'greet', run: ${body} })`,
    )

  t.test('that cannot be loaded keep the engine from starting, and the error says why', async (t) => {
    writeFileSync(file, 'this is no code')
    const log = { info() {}, warn() {}, error() {} }
    await t.rejects(startLocalEngine({ taskModules: [file], secretKey: SECRET, log }), {
      name: 'StartError',
      message: new RegExp(`could not be loaded: ${file}:1: SyntaxError`),
    })
  })

  t.test('that end their process keep the engine from starting, and each end is logged', async (t) => {
    const lines: string[] = []
    const error = (_fields: object, message: string) => void lines.push(message)
    const log = { info() {}, warn() {}, error }
    for (const [code, how] of [
      ['process.exit(3)', /ended by itself, with code 3/],
      ["process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})", /ended by SIGKILL/],
    ] as const) {
      writeFileSync(file, code)
      await t.rejects(startLocalEngine({ taskModules: [file], secretKey: SECRET, log }), {
        message: new RegExp(`could not be loaded.*${how.source}`),
      })
      t.match(lines.pop(), how)
    }
  })

  t.test(
    'that are broken while a developer changes them fail runs at once, with file and line',
    async (t) => {
      write("async () => 'hello'")
      const engine = await openEngine(t, { taskModules: [file], watch: true, maxChildren: 1 })
      t.equal((await runToEnd('greet')).output, 'hello')
      writeFileSync(file, 'const fine = 1\nconst broken = {\n')
      const fault = `the task files cannot be loaded: ${file}:2: SyntaxError`
      const told = () => engine.lines.filter(({ message }) => message.includes(fault))
      await eventually(
        async () => told(),
        (lines) => lines.length > 0,
      )
      const run = await runToEnd('greet')
      t.equal(run.status, 'SYSTEM_FAILURE')
      t.match(told(), [
        { level: 'error', message: /^the task files cannot be loaded/ },
        { level: 'error', fields: { runId: run.id }, message: /^the local engine fails a run at once/ },
      ])
      write("async () => 'mended'")
      await eventually(
        async () => (await runToEnd('greet')).output as unknown,
        (output) => output === 'mended',
      )
    },
  )

  t.test('that change are loaded anew, also when they were broken in between', async (t) => {
    write("async () => 'hello'")
    const engine = await openProcess({ taskModules: [file], secretKey: SECRET, watch: true, maxChildren: 1 })
    t.teardown(() => engine.stop())
    configure({ baseURL: engine.url, accessToken: SECRET })
    t.equal((await runToEnd('greet')).output, 'hello')
    const waiting = await start('part')
    await reaches(waiting, 'PENDING_VERSION')

    const outputBecomes = (expected: string) =>
      eventually(
        async () => (await runToEnd('greet')).output as unknown,
        (output) => output === expected,
      )
    write("async () => 'good day'")
    await outputBecomes('good day')
    writeFileSync(file, 'broken {')
    write("async () => 'good evening' })\nexport const part = task({ id: 'part', run: async () => 'bye'")
    await outputBecomes('good evening')
    t.equal((await ended(waiting)).output, 'bye', 'a run that waited for its task gets it')
  })
})
