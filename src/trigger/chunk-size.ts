import type { UIMessageChunk } from 'ai'
import { head } from '../agent/clean.ts'
import { isDelta, textOf, withText } from '../agent/clean-chunks.ts'
import { cutJson } from '../agent/output.ts'

/** Bytes of one record; streams on S2 refuse records of 1 MiB. */
const LIMIT_BYTES = 512 * 1024
/** Characters of a field that is cut: two of them stay below the limit even when each takes six bytes (`\u001b`) as JSON. */
const CUT_LENGTH = 40 * 1024

/** The chunk in pieces that fit into a record: deltas are split, tool inputs and outputs cut. */
export function fitChunk(chunk: UIMessageChunk): UIMessageChunk[] {
  if (isDelta(chunk)) return split(textOf(chunk)).map((text) => withText(chunk, text))
  if (bytesOf(chunk) <= LIMIT_BYTES) return [chunk]
  const cut: Record<string, unknown> = { ...chunk }
  for (const field of ['input', 'output', 'errorText', 'data']) {
    if (field in cut) cut[field] = cutJson(cut[field], CUT_LENGTH)
  }
  return [cut as UIMessageChunk]
}

function split(text: string): string[] {
  if (bytesOf(text) <= LIMIT_BYTES) return [text]
  const first = head(text, Math.ceil(text.length / 2))
  return [first, text.slice(first.length)].flatMap(split)
}

const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value))
