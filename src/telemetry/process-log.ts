import { destination, type Logger, pino } from 'pino'
import { logOptions } from './log-options.ts'
import { terminal } from './terminal.ts'

/**
 * The log of a process about its own start and end. A line is written before the call returns, because it may be the
 * last one. (pino's default hands lines to a thread, and an exit does not wait for that thread.)
 */
export const processLog = (level: string): Logger =>
  pino(logOptions(level), terminal() ?? destination({ sync: true }))
