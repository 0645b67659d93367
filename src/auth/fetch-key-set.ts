/** Bounds of a key set. Identity providers publish a handful of keys, of about 4 KiB each with their certificates. */
const MAX_BYTES = 512 * 1024
const MAX_KEYS = 200

/**
 * Fetches a key set for jose, within bounds, because reading a very large set would hold up every other request.
 *
 * @throws Error when the set has too many bytes or keys
 */
export async function fetchKeySet(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init)
  if (response.status !== 200) {
    await response.body?.cancel()
    return response
  }
  const text = await readText(response)
  const { keys } = JSON.parse(text) as { keys?: unknown }
  if (Array.isArray(keys) && keys.length > MAX_KEYS)
    throw new Error(`the key set has ${keys.length} keys, more than ${MAX_KEYS}`)
  return new Response(text, { status: response.status })
}

async function readText(response: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  // Leaving the loop cancels the rest of the body.
  for await (const piece of response.body ?? []) {
    bytes += piece.length
    if (bytes > MAX_BYTES) throw new Error(`the key set has more than ${MAX_BYTES} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}
