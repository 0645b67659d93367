import type { IndexedChunk } from '../agent/turn.ts'
import { type Chunk, translate, UI_VERSIONS, type UiVersion, withoutSteps } from './vocabulary.ts'

/** One record of a run's stream, serialized once for all its viewers. */
export interface Frame {
  type: string
  /** Bytes on the wire by client version; undefined for a version that does not know the part (its id stays unused). */
  wire: Record<UiVersion, Buffer | undefined>
  /** An estimate of the bytes of memory that the frame occupies. */
  size: number
}

const OVERHEAD_BYTES = 256

export function frameOf({ index, chunk }: IndexedChunk): Frame {
  const texts = new Map<Chunk, Buffer>()
  const wire = {} as Frame['wire']
  const shown = withoutSteps(chunk)
  for (const ui of UI_VERSIONS) {
    const part = translate(shown, ui)
    const known = part && (texts.get(part) ?? serialize(part, `id: ${index}\n`))
    if (part && known) texts.set(part, known)
    wire[ui] = known
  }
  const size = [...texts.values()].reduce((sum, { length }) => sum + length, OVERHEAD_BYTES)
  return { type: chunk.type, wire, size }
}

/** A part that the service adds itself. It is no frame of the run's stream and has no id. */
export const ownFrame = (chunk: Chunk): Buffer => serialize(chunk, '')

export const DONE = Buffer.from('data: [DONE]\n\n')
/** Comments of server-sent events: parsers skip them, proxies see that the connection is alive. */
export const HELLO = Buffer.from(': stream\n\n')
export const HEARTBEAT = Buffer.from(': ping\n\n')

/** JSON has no line breaks of its own, so every part is one `data` line. */
function serialize(chunk: Chunk, id: string): Buffer {
  return Buffer.from(`${id}data: ${JSON.stringify(chunk)}\n\n`)
}
