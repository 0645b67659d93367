import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

/**
 * Reads `+ group` and `- group`; at the end of its input, which comes with the end of the engine however that ends,
 * it kills the groups that are left. In the background of a shell that ends at once: the children of the engine are
 * those that run tasks.
 */
const SCRIPT = `
{
  groups=
  while read -r sign group; do
    rest=
    for other in $groups; do [ "$other" = "$group" ] || rest="$rest $other"; done
    groups=$rest
    [ "$sign" = + ] && groups="$groups $group"
  done
  for group in $groups; do kill -s KILL -- "-$group"; done
} <&3 2>/dev/null &
`

/**
 * Ends what an engine that was killed leaves behind: a child that blocks its event loop never hears that its parent
 * has gone, and what a task has spawned does not even listen. It is a process of its own, as the engine and a child
 * can die together; a shell, as that takes a megabyte.
 */
export class Watchdog {
  readonly #pipe: Socket

  constructor(onError: (error: Error) => void) {
    // In a session of its own: what ends the engine from a terminal must not end its watchdog.
    const shell = spawn('/bin/sh', ['-c', SCRIPT, 'local-engine-watchdog'], {
      env: {}, // All that it calls is built in.
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    })
    shell.on('error', onError).unref()
    this.#pipe = shell.stdio[3] as Socket
    // It may not keep the process of the engine alive.
    this.#pipe.on('error', onError).unref()
  }

  guard(group: number): void {
    this.#pipe.write(`+ ${group}\n`)
  }

  release(group: number): void {
    this.#pipe.write(`- ${group}\n`)
  }

  stop(): void {
    this.#pipe.end()
  }
}
