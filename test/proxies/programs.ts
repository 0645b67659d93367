import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProcess } from '../support/process.ts'
import { temporaryFolder } from '../support/temporary.ts'

type Teardown = Parameters<typeof temporaryFolder>[0]

const FOLDERS = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin']

/** The path of a program; undefined where the machine does not have it. */
const find = (program: string): string | undefined =>
  FOLDERS.map((folder) => join(folder, program)).find((path) => existsSync(path))

/** For the `skip` of a test: why it cannot run here, or false. */
export function missing(...programs: string[]): string | false {
  const absent = programs.filter((program) => find(program) === undefined)
  return absent.length === 0 ? false : `This machine has no ${absent.join(' and no ')}.`
}

/** A port of the loopback that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** What `@WORDS@` of a configuration stand for; ports by their names. */
export type Words = { UPSTREAM: string; PORT: number } & Record<string, string | number>

const ARGUMENTS = {
  nginx: (file: string, folder: string) => ['-p', folder, '-e', 'stderr', '-c', file],
  apache2: (file: string, folder: string) => ['-d', folder, '-f', file, '-D', 'FOREGROUND'],
  haproxy: (file: string) => ['-db', '-f', file],
}

/** Starts a proxy with a configuration of this folder, and waits until it listens; ended in the teardown. */
export async function startProxy(
  t: Teardown,
  program: keyof typeof ARGUMENTS,
  configuration: string,
  words: Words,
): Promise<void> {
  const path = find(program)
  if (path === undefined) throw new Error(`no ${program}`)
  const folder = await temporaryFolder(t)
  const all: Record<string, string | number> = { FOLDER: folder, ...words }
  const text = readFileSync(join(import.meta.dirname, configuration), 'utf8')
  const file = join(folder, configuration)
  writeFileSync(
    file,
    text.replaceAll(/@(\w+)@/g, (_all, word: string) => String(all[word])),
  )
  const { ended, output } = startProcess(t, [path, ...ARGUMENTS[program](file, folder)])
  let over = false
  ended.then(() => {
    over = true
  })
  while (!(await listens(words.PORT))) {
    if (over) throw new Error(`${program} ended:\n${output()}`)
    await sleep(20)
  }
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
