/** A text as one word of a POSIX shell. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`

const AUTHORIZATION = '-H "authorization: Bearer $TOKEN"'

export const getLine = (url) => `curl -s ${quoted(url)} ${AUTHORIZATION}`

export const postLine = (url, body) =>
  `${getLine(url)} \\\n  -H 'content-type: application/json' -d ${quoted(JSON.stringify(body))}`
