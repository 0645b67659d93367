import type { Server } from '../parts/child.ts'
import type { Rows } from '../parts/rows.ts'

/** The servers and settings that a trial uses. */
export interface Bench {
  service: Server
  databaseUrl: string
  /** The environment of a server process. */
  settings: Record<string, string>
  authorization: string
  rows: Rows
  /** Length of a measurement in milliseconds. */
  ms: number
}

/** A measurement without a baseline. Its result is figures with names. */
export interface Trial {
  name: string
  run(bench: Bench): Promise<Record<string, string>>
}
