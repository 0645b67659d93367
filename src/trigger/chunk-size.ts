import type { UIMessageChunk } from 'ai'
import { head } from '../agent/clean.ts'
import { isDelta, textOf, withText } from '../agent/clean-chunks.ts'
import { cutJson } from '../agent/output.ts'

/** Bytes of one record; streams on S2 refuse records of 1 MiB. */
const LIMIT_BYTES = 512 * 1024
/** Characters that stay below the limit even when each takes six bytes (`\u001b`) as JSON. */
const SAFE_LENGTH = 80 * 1024

/** The chunk in pieces that fit into a record: deltas are split, tool inputs and outputs cut. */
export function fitChunk(chunk: UIMessageChunk): UIMessageChunk[] {
  if (isDelta(chunk)) return split(textOf(chunk)).map((text) => withText(chunk, text))
  if (Buffer.byteLength(JSON.stringify(chunk)) <= LIMIT_BYTES) return [chunk]
  const cut: Record<string, unknown> = { ...chunk }
  for (const field of ['input', 'output', 'errorText', 'data']) {
    if (field in cut) cut[field] = cutJson(cut[field], SAFE_LENGTH / 2)
  }
  return [cut as UIMessageChunk]
}

function split(text: string): string[] {
  if (text.length <= SAFE_LENGTH) return [text]
  const first = head(text, SAFE_LENGTH)
  return [first, ...split(text.slice(first.length))]
}
