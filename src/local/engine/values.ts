import type { Packet } from './run.ts'

/**
 * A serialized value as the REST API shows it: plain JSON. Of superjson that is its `json` part, which is why a
 * Date comes back as a string. What claims to be JSON and is not is shown as it came.
 */
export function packetJson({ data, dataType }: Packet): unknown {
  if (data === undefined || data === '') return undefined
  try {
    if (dataType === 'application/json') return JSON.parse(data)
    if (dataType === 'application/super+json') return (JSON.parse(data) as { json?: unknown } | null)?.json
  } catch {
    // Not checked when it was triggered: its task will have failed over it.
  }
  return data
}

/** A payload as it arrives in a trigger request: serialized already by the SDK, or any JSON value. */
export function packetOf(payload: unknown, dataType = 'application/json'): Packet {
  if (payload === undefined) return { dataType }
  return { data: typeof payload === 'string' ? payload : JSON.stringify(payload), dataType }
}
