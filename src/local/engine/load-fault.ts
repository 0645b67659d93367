/** Frames and headings of a stack that name a file of this project, with its line. */
const PLACE = /(?:file:\/\/)?(\/[^\s():]+):(\d+)/g

/** Says in one line why a task file could not be loaded: the file and line in the project, then the error. */
export function describeLoadFault(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const what = `${error.name}: ${error.message}`
  const places = [...(error.stack ?? '').matchAll(PLACE)].map(([, file, line]) => `${file}:${line}`)
  const place = places.find((one) => !one.includes('/node_modules/'))
  return place === undefined || place.startsWith(import.meta.dirname) ? what : `${place}: ${what}`
}
