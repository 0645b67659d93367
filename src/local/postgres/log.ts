/** Where the embedded database says what it does. A pino logger fits. */
export type Log = Record<'info' | 'warn' | 'error', (message: string) => void>
