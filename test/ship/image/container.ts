import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { v7 as uuid } from 'uuid'

export interface Container {
  name: string
  /** Of the process itself, on this machine. */
  pid(): number
  uid(): number
  children(): number[]
  signal(signal: NodeJS.Signals): void
  /** Resolves when the process is gone; launchers may take their time to clean up after it. */
  gone(): Promise<void>
  /** The exit code. */
  ended: Promise<number | null>
  /** What it wrote. */
  output(): string
}

/**
 * Starts a container on the host's network by a command line in which `{env}` stands for its `-e NAME=value`
 * pairs and `{command}` for what it runs (nothing: its own command). Signals go to the process itself, found by
 * a mark in its environment: not every launcher passes them on.
 */
export async function startContainer(
  launcher: string,
  name: string,
  environment: Record<string, string>,
  command: string[] = [],
): Promise<Container> {
  const mark = `IMAGE_TRIAL=${uuid()}`
  const pairs = [mark, ...Object.entries(environment).map((pair) => pair.join('='))].flatMap((pair) => [
    '-e',
    pair,
  ])
  const [program = '', ...args] = launcher
    .split(' ')
    .flatMap((word) => (word === '{env}' ? pairs : word === '{command}' ? command : [word]))
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-200_000)
    })
  }
  const ended = once(child, 'close').then(() => child.exitCode)

  function find(): number | undefined {
    const own = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && isMarked(pid, mark))
    // The first process in the container: the launcher's have other names, its children other parents.
    return own.map(Number).find((pid) => nameOf(pid) === 'node' && !own.includes(parentOf(pid)))
  }
  let known: number | undefined
  while (known === undefined && child.exitCode === null) {
    known = find()
    await sleep(50)
  }
  const pid = known ?? 0
  return {
    name,
    pid: () => pid,
    uid: () => Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]),
    children: () =>
      read(`/proc/${pid}/task/${pid}/children`)
        .split(' ')
        .flatMap((child) => (child === '' ? [] : [Number(child)])),
    signal: (signal) => process.kill(pid, signal),
    async gone() {
      while (existsSync(`/proc/${pid}`)) await sleep(20)
    },
    ended,
    output: () => output,
  }
}

const isMarked = (pid: string, mark: string): boolean => read(`/proc/${pid}/environ`).includes(mark)
const nameOf = (pid: number): string => {
  const [program = ''] = read(`/proc/${pid}/cmdline`).split('\0')
  return program.split('/').at(-1) ?? ''
}
const parentOf = (pid: number): string => {
  const parent = /^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? '0'
  return nameOf(Number(parent)) === 'node' ? parent : '0'
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // The process has ended meanwhile.
  }
}
