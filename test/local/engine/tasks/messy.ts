import { execFileSync, spawn } from 'node:child_process'
import fs, { openSync } from 'node:fs'
import { createServer } from 'node:net'
import { AbortTaskRunError, streams, task } from '@trigger.dev/sdk'

const words = streams.define<string>({ id: 'words' })

/** What a run can leave behind in its process, by the words with which the engine names it. */
const MESSES: Record<string, () => unknown> = {
  'Object.prototype': () => Object.assign(Object.prototype, { polluted: true }),
  'Array.prototype': () => Object.assign(Array.prototype, { at: () => 'other' }),
  'the prototype of Uint8Array': () => Object.assign(Object.getPrototypeOf(Uint8Array), { left: true }),
  'values of global variables': () => Object.assign(globalThis, { queueMicrotask: () => {} }),
  'global variables': () => Object.assign(globalThis, { leftFor: 'the next' }),
  Math: () => Object.assign(Math, { random: () => 4 }),
  'the module node:fs': () => Object.assign(fs, { existsSync: () => true }),
  'the environment variable LEFT': () => Object.assign(process.env, { LEFT: 'behind' }),
  'the environment variable TZ': () => {
    delete process.env.TZ
  },
  'the working directory': () => process.chdir('/'),
  'the file mode mask': () => process.umask(0o1),
  'active resources of type Timeout': () => setInterval(() => {}, 60_000),
  'active resources of type TCPServerWrap': () =>
    new Promise<void>((resolve) => void createServer().listen(0, resolve)),
  'listeners of process for warning': () => process.on('warning', () => {}),
  'open files': () => openSync(import.meta.filename, 'r'),
}

export const leftovers = Object.keys(MESSES)

const PROGRAMS: Record<string, () => unknown> = {
  plain: () => spawn('sleep', ['600'], { stdio: 'ignore' }),
  'of a session of its own': () => spawn('sleep', ['600'], { stdio: 'ignore', detached: true }).unref(),
  'without the environment': () =>
    spawn('sleep', ['600'], { stdio: 'ignore', detached: true, env: {} }).unref(),
  'that was waited for': () => execFileSync('true'),
  'that left another one': () => execFileSync('sh', ['-c', 'setsid sleep 600 >/dev/null 2>&1 &']),
}

export const programs = Object.keys(PROGRAMS)

export const whereabouts = task({ id: 'whereabouts', run: async () => ({ pid: process.pid }) })

/** Leaves everything behind at once. */
export const messy = task({
  id: 'messy',
  run: async () => {
    for (const mess of Object.values(MESSES)) await mess()
  },
})

/** Starts a program and tells the id of its process, if it is still there. */
export const starter = task({
  id: 'starter',
  run: async ({ program }: { program: string }) => {
    const started = PROGRAMS[program]?.()
    return { pid: (started as { pid?: number } | undefined)?.pid }
  },
})

export const failing = task({
  id: 'failing',
  run: async ({ isMeant }: { isMeant: boolean }) => {
    throw isMeant ? new AbortTaskRunError('meant') : new Error('not meant')
  },
})

/** Uses what every turn of the agent uses, and leaves nothing behind. */
export const tidy = task({
  id: 'tidy',
  run: async () => {
    console.log('said')
    await fetch(`${process.env.TRIGGER_API_URL}/healthcheck`).then((answer) => answer.text())
    await words.append('said')
    structuredClone({ at: new Date(), in: new Blob(['x']).size, signal: AbortSignal.timeout(1).aborted })
    return { pid: process.pid }
  },
})

/** Takes memory outside the heap, without a pause in which a timer of its process could fire. */
export const buffers = task({
  id: 'buffers',
  run: async () => {
    const hoard = Array.from({ length: 12 }, () => Buffer.alloc(32 * 1024 * 1024, 1))
    for (const end = Date.now() + 60_000; Date.now() < end; );
    return hoard.length
  },
})

export const chatty = task({
  id: 'chatty',
  run: async ({ lines }: { lines: number }) => {
    for (let n = 0; n < lines; n++) console.log(`console ${n}`)
    await write(Array.from({ length: lines }, (_, n) => `stdout ${n}\n`).join(''))
  },
})

export const endlessLine = task({
  id: 'endless-line',
  run: async ({ bytes }: { bytes: number }) => {
    const piece = 'x'.repeat(1024 * 1024)
    for (let left = bytes; left > 0; left -= piece.length) await write(piece)
    await write('\nafter it\n')
  },
})

const write = (text: string) =>
  new Promise<void>((resolve) => void process.stdout.write(text, () => resolve()))
