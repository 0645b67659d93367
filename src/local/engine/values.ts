import type { Packet } from './run.ts'

/**
 * A serialized value as the REST API shows it: plain JSON. Of superjson the API shows the `json` part, which is why a
 * Date comes back as a string. A value that is marked as JSON but cannot be parsed is shown as it came.
 */
export function packetJson({ data, dataType }: Packet): unknown {
  if (data === undefined || data === '') return undefined
  try {
    if (dataType === 'application/json') return JSON.parse(data)
    if (dataType === 'application/super+json') return (JSON.parse(data) as { json?: unknown } | null)?.json
  } catch {
    // The trigger call did not check this payload, and the task has failed because of it.
  }
  return data
}

/** A payload as a trigger request brings it: serialized by the SDK, or any JSON value. */
export function packetOf(payload: unknown, dataType = 'application/json'): Packet {
  if (payload === undefined) return { dataType }
  return { data: typeof payload === 'string' ? payload : JSON.stringify(payload), dataType }
}
