import { fileURLToPath } from 'node:url'
import { configure } from '@trigger.dev/sdk'
import { type EngineOptions, type LocalEngine, startLocalEngine } from '../../../src/local/engine/engine.ts'

export const SECRET = 'tr_dev_engine_test'
export const TASKS = fileURLToPath(new URL('./tasks/basic.ts', import.meta.url))

export interface LogLine {
  level: string
  fields: Record<string, unknown>
  message: string
}

/** Starts an engine with the test tasks, points the SDK at it and keeps what it logs. */
export async function openEngine(
  t: { teardown: (fn: () => Promise<void>) => void },
  options: Partial<EngineOptions> = {},
): Promise<LocalEngine & { lines: LogLine[] }> {
  const lines: LogLine[] = []
  const keep = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields: { ...fields }, message })
  const log = { info: keep('info'), warn: keep('warn'), error: keep('error') }
  const engine = await startLocalEngine({ taskModules: [TASKS], secretKey: SECRET, log, ...options })
  t.teardown(() => engine.stop())
  configure({ baseURL: engine.url, accessToken: SECRET, requestOptions: { retry: { maxAttempts: 1 } } })
  return { ...engine, lines }
}

/** A request past the SDK, with the secret key unless headers say otherwise. */
export async function request(
  url: string,
  init: RequestInit = {},
): Promise<{ status: number; headers: Headers; body: unknown; text: string }> {
  const response = await fetch(url, {
    ...init,
    headers: { authorization: `Bearer ${SECRET}`, ...init.headers },
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, body: parsed(text) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
