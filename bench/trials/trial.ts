import type { Server } from '../parts/child.ts'
import type { Rows } from '../parts/rows.ts'

/** What a trial has to work with. */
export interface Bench {
  service: Server
  databaseUrl: string
  /** The environment of a server process. */
  settings: Record<string, string>
  authorization: string
  rows: Rows
  /** Milliseconds of a measurement. */
  ms: number
}

/** Something that is measured by itself, and not beside a baseline: figures by their names. */
export interface Trial {
  name: string
  run(bench: Bench): Promise<Record<string, string>>
}
