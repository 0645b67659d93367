import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { spread } from '../parts/figures.ts'
import type { Bench, Trial } from './trial.ts'

const LAUNCH = fileURLToPath(new URL('../../src/bin/launch.mjs', import.meta.url))
const PORT = 39_471
const STARTS = 5

/** Measures the time from the start of the process to its first answers, on a migrated database, with compiled code. */
export const boot: Trial = {
  name: 'boot',
  async run(bench) {
    await started(bench) // This start compiles the code, unless it is compiled already.
    const starts: Array<Awaited<ReturnType<typeof started>>> = []
    for (let n = 0; n < STARTS; n++) starts.push(await started(bench))
    const median = (of: keyof (typeof starts)[number]) => {
      const { median: middle, min, max } = spread(starts.map((start) => start[of]))
      return `${Math.round(middle)} ms (${Math.round(min)}–${Math.round(max)})`
    }
    return {
      'until it listens': median('listens'),
      'until it is ready': median('ready'),
      'first poll': median('first'),
      'twentieth poll': median('twentieth'),
    }
  },
}

async function started({ settings, authorization, rows }: Bench) {
  const since = performance.now()
  const child = spawn(process.execPath, [LAUNCH, 'server'], {
    env: { ...process.env, ...settings, PORT: String(PORT), ENV_FILE: '' },
    stdio: 'ignore',
  })
  const exited = once(child, 'exit')
  const ask = (path: string) => fetch(`http://127.0.0.1:${PORT}${path}`, { headers: { authorization } })
  try {
    const answered = async (path: string) => {
      for (;;) {
        const response = await ask(path).catch(() => undefined)
        await response?.text()
        if (response?.status === 200) return performance.now() - since
        if (child.exitCode !== null) throw new Error('the service ended')
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
    }
    const listens = await answered('/livez')
    const ready = await answered('/readyz')
    const polls = []
    for (let n = 0; n < 20; n++) {
      const from = performance.now()
      await (await ask(`/api/agent/chat/${rows.small}`)).text()
      polls.push(performance.now() - from)
    }
    return { listens, ready, first: polls[0] ?? 0, twentieth: polls[19] ?? 0 }
  } finally {
    child.kill('SIGKILL')
    await exited
  }
}
