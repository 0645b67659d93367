/** The log of the embedded database. A pino logger fits. */
export type Log = Record<'info' | 'warn' | 'error', (message: string) => void>
