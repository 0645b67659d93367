import { test } from 'tap'
import { type Running, startProcess } from '../support/process.ts'
import type { Teardown } from '../support/service.ts'

/** A process of one line, whose parts say when they end. */
function runScript(t: Teardown, start: string, timeoutSeconds = 10): Running {
  const script = `
    import { runProcess } from './src/lifecycle/run-process.ts'
    import { StartError } from './src/start-error.ts'
    import { processLog } from './src/telemetry/process-log.ts'
    const part = (name) => async (signal) => console.log('ended', name, signal ?? 'by a failure')
    const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
    process.on('exit', () => console.log('exit'))
    await runProcess(async ({ onEnd, fail }) => { ${start}; console.log('started'); setInterval(() => {}, 1000) },
      { log: processLog('info'), timeoutSeconds: ${timeoutSeconds} })`
  return startProcess(t, [process.execPath, '--input-type=module', '-e', script])
}

const ends = (process: Running) =>
  process
    .output()
    .split('\n')
    .filter((line) => line.startsWith('ended'))

test('parts end in reverse order of their start, and know the signal', async (t) => {
  const one = runScript(t, `onEnd(part('database')); onEnd(part('service'))`)
  await one.line(/^started$/)
  one.signal('SIGTERM')
  t.strictSame(await one.ended, { code: 0, signal: null })
  t.strictSame(ends(one), ['ended service SIGTERM', 'ended database SIGTERM'])
})

test('a start that fails half way ends the parts that had started, and says why without a stack', async (t) => {
  const one = runScript(t, `onEnd(part('database')); throw new StartError('The port is taken.')`)
  t.equal((await one.ended).code, 1)
  t.strictSame(ends(one), ['ended database by a failure'])
  t.match(one.output(), /"level":60,.*"msg":"The port is taken\."/)
  t.notMatch(one.output(), /"stack"/)
})

test('a signal during the start ends the parts that the start still creates', async (t) => {
  const one = runScript(t, `console.log('begun'); await later(500); onEnd(part('database'))`)
  await one.line(/^begun$/)
  one.signal('SIGINT')
  t.equal((await one.ended).code, 0)
  t.strictSame(ends(one), ['ended database SIGINT'])
})

test('a second signal within an instant is ignored, and a later one exits at once', async (t) => {
  const hangs = `onEnd(() => new Promise(() => {}))`
  const one = runScript(t, hangs)
  await one.line(/^started$/)
  one.signal('SIGINT')
  one.signal('SIGINT')
  await one.line(/"msg":"received SIG[A-Z]+: ending"/)
  t.equal(one.child.exitCode, null)
  // A process that was not let run for a while meets a signal later than it was sent.
  const again = setInterval(() => one.signal('SIGTERM'), 400)
  t.equal((await one.ended).code, 1)
  clearInterval(again)
  t.match(one.output(), /again: exiting without draining.*\nexit$/s, 'exit listeners take along what is left')
})

test('an end that hangs is cut off by the timeout', async (t) => {
  const one = runScript(t, `onEnd(() => new Promise(() => {}))`, 1)
  await one.line(/^started$/)
  one.signal('SIGTERM')
  t.equal((await one.ended).code, 1)
  t.match(one.output(), /not ended within 1 s.*\nexit$/s)
})

test('an error that no code caught ends the process with a line that has the stack', async (t) => {
  for (const fault of [
    `Promise.reject(new Error('nobody cares'))`,
    `(() => { throw new Error('nobody cares') })()`,
  ]) {
    const one = runScript(t, `setTimeout(() => { ${fault} }, 50)`)
    t.equal((await one.ended).code, 1)
    t.match(one.output(), /"level":60,.*"stack":"Error: nobody cares.*"msg":"nobody cares"/)
    t.match(one.output(), /^exit$/m)
  }
})

test('work beside the start can end the process in order', async (t) => {
  const one = runScript(
    t,
    `onEnd(part('database')); setTimeout(() => fail(new StartError('The schema is another.')), 50)`,
  )
  t.equal((await one.ended).code, 1)
  t.strictSame(ends(one), ['ended database by a failure'])
  t.match(one.output(), 'The schema is another.')
})
