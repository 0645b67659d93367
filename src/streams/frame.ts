import type { IndexedChunk } from '../agent/turn.ts'
import { type Chunk, translate, UI_VERSIONS, type UiVersion } from './vocabulary.ts'

/** One record of a run's stream, serialized once for everybody who views it. */
export interface Frame {
  type: string
  /** Bytes on the wire by client version; undefined where the part does not exist, its id stays unused. */
  wire: Record<UiVersion, Buffer | undefined>
  /** What it takes in memory, about. */
  size: number
}

const OVERHEAD_BYTES = 256

export function frameOf({ index, chunk }: IndexedChunk): Frame {
  const texts = new Map<Chunk, Buffer>()
  const wire = {} as Frame['wire']
  for (const ui of UI_VERSIONS) {
    const part = translate(chunk, ui)
    const known = part && (texts.get(part) ?? serialize(part, `id: ${index}\n`))
    if (part && known) texts.set(part, known)
    wire[ui] = known
  }
  const size = [...texts.values()].reduce((sum, { length }) => sum + length, OVERHEAD_BYTES)
  return { type: chunk.type, wire, size }
}

/** A part that the service itself adds; it has no place in the stream and so no id. */
export const ownFrame = (chunk: Chunk): Buffer => serialize(chunk, '')

export const DONE = Buffer.from('data: [DONE]\n\n')
/** Comments: parsers pass over them, proxies see that the connection is alive. */
export const HELLO = Buffer.from(': stream\n\n')
export const HEARTBEAT = Buffer.from(': ping\n\n')

/** JSON has no line breaks of its own, so every part is one `data` line. */
function serialize(chunk: Chunk, id: string): Buffer {
  return Buffer.from(`${id}data: ${JSON.stringify(chunk)}\n\n`)
}
