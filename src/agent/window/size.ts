/** Characters for which a file counts: its tokens do not depend on the length of its data. */
const FILE_CHARACTERS = 4000

/** Characters of a prompt, or of a part of one, as JSON. */
export function sizeOf(value: unknown): number {
  return (JSON.stringify(value, withoutData) ?? '').length
}

function withoutData(key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return { length: FILE_CHARACTERS }
  const isData = (key === 'data' || key === 'url') && typeof value === 'string'
  return isData && value.length > FILE_CHARACTERS ? value.slice(0, FILE_CHARACTERS) : value
}
