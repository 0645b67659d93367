import { subscribe } from 'node:diagnostics_channel'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

// These functions are read before any task file is loaded, because a task can replace them.
const { getOwnPropertyDescriptor, getPrototypeOf } = Object
const { ownKeys } = Reflect

/** Time in which work may finish that a run began just before its end, such as a last write. */
const SETTLE_MS = 300
const CHECK_MS = 10

type Shape = { keys: PropertyKey[]; values: unknown[] }

/**
 * Compares the state of this process that all runs share with the state before the first one: working directory,
 * file mode mask, environment, global variables, the standard objects and their prototypes, listeners of `process`,
 * open files, the resources that keep the event loop alive, and started programs. A process with another state would let
 * one run influence the next one, so it is not used again.
 *
 * The comparison does not see the state of modules, timers without a reference, and changes that were undone before the
 * end of the run. It sees open files, and programs for which a task waited synchronously, on Linux only.
 */
export class Leftovers {
  readonly #before: Map<string, string>
  readonly #objects = new Map<string, object>()
  readonly #shapes = new Map<string, Shape>()
  #programs = 0

  /** The caller creates it after the task files are loaded and before the first run. */
  constructor() {
    subscribe('child_process', () => this.#programs++)
    // Node opens these streams on first use. They are opened here, so that this does not count as a change.
    void [process.stdout, process.stderr]
    for (const [name, object] of standardObjects()) {
      this.#objects.set(name, object)
      this.#shapes.set(name, shapeOf(object))
    }
    this.#before = this.#state()
  }

  /** Waits a short time for work that is about to end. @returns the differences, each in a few words for a log line */
  async afterRun(): Promise<string[]> {
    const until = performance.now() + SETTLE_MS
    for (;;) {
      const found = this.#found()
      if (found.length === 0 || performance.now() > until) return found
      await sleep(CHECK_MS)
    }
  }

  #found(): string[] {
    const found: string[] = []
    const now = this.#state()
    for (const [name, value] of now) if (this.#before.get(name) !== value) found.push(name)
    for (const name of this.#before.keys()) if (!now.has(name)) found.push(name)
    for (const [name, object] of this.#objects) {
      if (!isSame(this.#shapes.get(name), shapeOf(object))) found.push(name)
    }
    return found
  }

  /** Every value that is compared as text, by the words that name it in the log. */
  #state(): Map<string, string> {
    const state = new Map<string, string>()
    state.set('the working directory', workingDirectory())
    state.set('the file mode mask', String(process.umask()))
    state.set('programs that were started', `${this.#programs} ${programsWaitedFor()}`)
    state.set('global variables', globalNames().join())
    state.set('open files', openFiles().join())
    for (const [name, value] of Object.entries(process.env)) {
      state.set(`the environment variable ${name}`, value ?? '')
    }
    for (const name of process.eventNames()) {
      state.set(`listeners of process for ${String(name)}`, String(process.listenerCount(name)))
    }
    const resources = new Map<string, number>()
    for (const type of process.getActiveResourcesInfo()) resources.set(type, (resources.get(type) ?? 0) + 1)
    // This resource belongs to the comparison itself.
    resources.delete('Immediate')
    for (const [type, count] of resources) state.set(`active resources of type ${type}`, String(count))
    return state
  }
}

/** Names of global variables. Symbols are left out: libraries keep under them what all copies of a library share. */
const globalNames = (): string[] =>
  ownKeys(globalThis).filter((key): key is string => typeof key === 'string')

/** Modules of Node that a task may patch. */
const MODULES = ['child_process', 'crypto', 'dns', 'events', 'fs', 'http', 'https', 'net', 'timers', 'url']

/** The objects that all code of the process shares: global objects, their prototypes, and modules of Node. */
function standardObjects(): Map<string, object> {
  const found = new Map<string, object>([['values of global variables', globalThis]])
  const seen = new Set<object>([globalThis, process])
  const add = (name: string, value: unknown) => {
    if (!isObject(value) || seen.has(value)) return
    seen.add(value)
    found.set(name, value)
    add(`the prototype of ${name}`, getPrototypeOf(value))
  }
  add('Object.prototype', Object.prototype)
  add('Function.prototype', Function.prototype)
  for (const name of globalNames()) {
    const value: unknown = getOwnPropertyDescriptor(globalThis, name)?.value
    add(name, value)
    if (isObject(value)) add(`${name}.prototype`, getOwnPropertyDescriptor(value, 'prototype')?.value)
  }
  for (const name of MODULES) add(`the module node:${name}`, process.getBuiltinModule(name))
  return found
}

/** The properties of an object, without those accessors of Node that become values on first use. */
function shapeOf(object: object): Shape {
  const keys = object === globalThis ? globalNames() : ownKeys(object)
  const values: unknown[] = []
  for (let n = 0; n < keys.length; n++) {
    const descriptor = getOwnPropertyDescriptor(object, keys[n] as PropertyKey)
    values[n] = object === globalThis && descriptor?.get ? undefined : (descriptor?.get ?? descriptor?.value)
  }
  return { keys, values }
}

function isSame(before: Shape | undefined, now: Shape): boolean {
  if (before?.keys.length !== now.keys.length) return before === undefined
  for (let n = 0; n < now.keys.length; n++) {
    if (before.keys[n] !== now.keys[n]) return false
    if (before.values[n] !== undefined && !Object.is(before.values[n], now.values[n])) return false
  }
  return true
}

const isObject = (value: unknown): value is object =>
  (typeof value === 'object' && value !== null) || typeof value === 'function'

function workingDirectory(): string {
  try {
    return process.cwd()
  } catch {
    return 'deleted'
  }
}

/** A count that grows with every ended program that was waited for: page faults of children, proc_pid_stat(5). */
function programsWaitedFor(): string {
  const CMINFLT = 8
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[CMINFLT] ?? ''
  } catch {
    return '' // This system is not Linux.
  }
}

function openFiles(): string[] {
  try {
    return readdirSync('/proc/self/fd').flatMap((fd) => {
      const target = targetOf(fd)
      return target.startsWith('/') && !target.startsWith('/proc/') ? [`${fd} ${target}`] : []
    })
  } catch {
    return [] // This system is not Linux.
  }
}

function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return '' // The file was closed meanwhile. The descriptor of the listed folder always is.
  }
}
