import { inspect } from 'node:util'
import type { DestinationStream } from 'pino'

type Entry = Record<string, unknown>

/** The fields of a line about a request that begin its text, in this order. */
const REQUEST = ['method', 'path', 'status', 'ms']
/** Fields that the text does not repeat: they are for machines, or the terminal shows them in another way. */
const LEFT_OUT = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'err', 'requestId', ...REQUEST])

const prettyFactory = process.stdout.isTTY ? (await import('pino-pretty')).default : undefined

/**
 * The destination of the log when standard output is a terminal: one readable line for every entry, and stacks in their
 * usual form. Undefined when standard output is a pipe or a file, which get a JSON line for every entry.
 */
export function terminal(): DestinationStream | undefined {
  return prettyFactory?.({
    sync: true,
    colorize: !process.env.NO_COLOR,
    translateTime: 'SYS:HH:MM:ss',
    ignore: 'pid,hostname',
    hideObject: true,
    messageFormat: (entry) => readable(entry),
  })
}

/** One entry of the log as text: what happened, then the fields that say more, then the stack of an error. */
export function readable(entry: Entry): string {
  const { method, path, status, ms, msg, err } = entry
  const isRequest = method !== undefined && path !== undefined
  const request = isRequest ? [method, path, status ?? 'without an answer', `${String(ms)} ms`] : []
  const what = isRequest && msg === 'answered' ? [] : [msg]
  const fields = Object.entries(entry)
    .filter(([name, value]) => value !== undefined && !LEFT_OUT.has(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : inspect(value, INSPECT)}`)
  return [...request, ...what, ...fields].join(' ') + stackOf(err, String(msg))
}

const INSPECT = { breakLength: Number.POSITIVE_INFINITY, depth: 4 }

/** The stack of an error, without its heading when the line holds the message already. */
function stackOf(err: unknown, said = ''): string {
  if (typeof err !== 'object' || err === null) return ''
  const { stack, message, cause } = err as Record<string, unknown>
  const text = String(stack || message).replace(`: ${said}\n`, '\n')
  return `\n    ${text.replaceAll('\n', '\n    ')}${stackOf(cause)}`
}
