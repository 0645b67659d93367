import { destination, type Logger, pino } from 'pino'
import { logOptions } from './log-options.ts'
import { terminal } from './terminal.ts'

/**
 * The log of a process about its own start and end. Its lines are written before the call returns, because many of
 * them are the last ones, and pino's default hands them to a thread that an exit does not wait for.
 */
export const processLog = (level: string): Logger =>
  pino(logOptions(level), terminal() ?? destination({ sync: true }))
