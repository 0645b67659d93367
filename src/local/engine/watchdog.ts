import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { CHILD_VARIABLE } from './strays.ts'

/**
 * Reads `+ group:mark` and `- group:mark`, a line for each child that starts and ends. The end of the input comes with
 * the end of the engine, however the engine ends; then the script kills the process groups that are left, and on
 * Linux the processes with a mark of theirs. It runs in the background of a shell that ends at once, so that the
 * children of the engine are those that run tasks.
 */
const SCRIPT = `
{
  children=
  while read -r sign child; do
    rest=
    for other in $children; do [ "$other" = "$child" ] || rest="$rest $other"; done
    children=$rest
    [ "$sign" = + ] && children="$children $child"
  done
  marks=
  for child in $children; do
    kill -s KILL -- "-\${child%%:*}"
    marks="$marks -e ${CHILD_VARIABLE}=\${child#*:}"
  done
  [ -n "$marks" ] && for file in $(grep -lsF $marks /proc/[0-9]*/environ); do
    file=\${file#/proc/}
    kill -s KILL "\${file%/environ}"
  done
} <&3 2>/dev/null &
`

/**
 * Ends the processes that a killed engine leaves behind. A child with a blocked event loop does not notice that its parent
 * has ended, and neither does a program that a task has started. The watchdog is a process of its own, because the engine
 * and a child can die together. It is a shell, because a shell needs one megabyte of memory.
 */
export class Watchdog {
  readonly #pipe: Socket

  constructor(onError: (error: Error) => void) {
    // The watchdog has a session of its own, so that a signal from the engine's terminal does not reach it.
    const shell = spawn('/bin/sh', ['-c', SCRIPT, 'local-engine-watchdog'], {
      env: { PATH: '/usr/bin:/bin' },
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    })
    shell.on('error', onError).unref()
    this.#pipe = shell.stdio[3] as Socket
    // The watchdog must not keep the process of the engine alive.
    this.#pipe.on('error', onError).unref()
  }

  /** @param mark the text that the environment of every program contains which the child starts */
  guard(group: number, mark: string): void {
    this.#pipe.write(`+ ${group}:${mark}\n`)
  }

  release(group: number, mark: string): void {
    this.#pipe.write(`- ${group}:${mark}\n`)
  }

  stop(): void {
    this.#pipe.end()
  }
}
