import { configure } from '@trigger.dev/sdk'
import t from 'tap'
import { processesWith } from '../../support/process.ts'
import { began, eventually, start, unique } from './conformance/suite.ts'
import { TASKS } from './helper.ts'
import { openProcess } from './process.ts'

const isLinux = process.platform === 'linux'

const gone = (secretKey: string) =>
  eventually(
    async () => processesWith(secretKey),
    (left) => left.length === 0,
  )

/** An engine of its own for each test. Every process that it starts has its key in the environment. */
async function openKeyed() {
  const engine = await openProcess({ taskModules: [TASKS], secretKey: `tr_dev_${unique()}`, maxChildren: 3 })
  configure({ baseURL: engine.url, accessToken: engine.secretKey })
  return engine
}

t.test('when the process of the engine is killed, nothing of it is left', async (t) => {
  t.test('of children that wait for a run', async () => {
    const engine = await openKeyed()
    t.ok((await engine.children()).length >= 1)
    await engine.kill()
    await gone(engine.secretKey)
  })

  t.test('of a child that blocks its event loop', async (t) => {
    const engine = await openKeyed()
    await began(await start('deaf', { ms: 600_000 }))
    await engine.kill()
    await gone(engine.secretKey)
    t.pass('it is gone')
  })

  t.test('of a program in a session of its own', { skip: !isLinux && 'only Linux finds it' }, async (t) => {
    const engine = await openKeyed()
    await began(await start('begetter', { seconds: 600, detached: true }))
    await engine.kill()
    await gone(engine.secretKey)
    t.pass('it is gone')
  })

  t.test('of a program that a task has started', async (t) => {
    const engine = await openKeyed()
    await began(await start('begetter', { seconds: 600 }))
    await engine.kill()
    await gone(engine.secretKey)
    t.pass('it is gone')
  })

  t.test('of such a program when its child is killed too', async (t) => {
    const engine = await openKeyed()
    await began(await start('begetter', { seconds: 600 }))
    const pids = await engine.children()
    process.kill(engine.pid, 'SIGSTOP')
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await engine.kill()
    await gone(engine.secretKey)
    t.pass('it is gone')
  })
})
