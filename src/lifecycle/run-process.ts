import { StartError } from '../start-error.ts'

/** Ends one part of the process. `signal` is the received signal; undefined after a failure. */
export type End = (signal: NodeJS.Signals | undefined) => Promise<unknown>

export interface Parts {
  /** Registers the function that ends a part which has just been started. */
  onEnd(end: End): void
  /** Ends all parts and exits with 1. A part calls it when the process cannot go on. */
  fail(error: unknown): void
}

export interface ProcessOptions {
  log: {
    info(object: object, message: string): void
    error(message: string): void
    fatal(object: object, message: string): void
  }
  /** Seconds between the first signal and a forced exit. */
  timeoutSeconds: number
}

/**
 * A terminal sends Ctrl-C to all processes of the group, and npm passes its own signal on. A second signal within this
 * time is such a repetition and not a second wish of the user.
 */
const ECHO_MS = 300

/**
 * Runs a process from its start to its end. The first SIGTERM or SIGINT ends the parts, latest first, and exits with 0.
 * A start that fails ends the parts that had started, and exits with 1. A second signal, the timeout, or an uncaught
 * error exits at once with 1. The parts then end by their own `exit` listeners.
 */
export async function runProcess(
  start: (parts: Parts) => Promise<void>,
  { log, timeoutSeconds }: ProcessOptions,
): Promise<void> {
  const ends: End[] = []
  let endingSince: number | undefined

  function report(error: unknown): void {
    const message = error instanceof Error ? error.message : 'the process cannot go on'
    log.fatal(error instanceof StartError ? {} : { err: error }, message)
  }

  function die(error: unknown): never {
    report(error)
    process.exit(1)
  }

  async function end(signal?: NodeJS.Signals): Promise<void> {
    endingSince = performance.now()
    setTimeout(() => {
      log.error(
        `the process has not ended within ${timeoutSeconds} s: exiting without ending its other parts`,
      )
      process.exit(1)
    }, timeoutSeconds * 1000).unref()
    // A part that is still starting can be ended only after it has started.
    await Promise.allSettled([starting])
    for (const one of ends.splice(0).reverse()) await one(signal)
  }

  function leave(signal: NodeJS.Signals): never {
    log.info({ signal }, 'all parts of the process have ended')
    process.exit(0)
  }

  function fail(error: unknown): void {
    if (endingSince !== undefined) return
    // The error is logged first, because ending the parts may take long and writes further lines.
    report(error)
    void end().then(() => process.exit(1), die)
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (endingSince === undefined) {
        log.info({ signal }, `received ${signal}: ending`)
        void end(signal).then(() => leave(signal), die)
      } else if (performance.now() - endingSince > ECHO_MS) {
        log.error(`received ${signal} again: exiting without draining`)
        process.exit(1)
      }
    })
  }
  process.on('unhandledRejection', die)
  process.on('uncaughtException', die)

  const starting = start({ onEnd: (one) => void ends.push(one), fail })
  await starting.catch(fail)
}
