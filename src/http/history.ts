import type { TurnMessage } from '../agent/turn.ts'
import type { Fault } from '../errors.ts'
import type { HistoryMessage } from '../schemas/history.ts'
import { MAX_TEXT } from '../schemas/shared.ts'
import type { TurnBody } from '../schemas/turn.ts'
import type { SeedMessage, TurnRequest } from '../services/start/new-turn.ts'
import { pointer } from './validation/text-faults.ts'
import { invalidBody } from './validation/validation.ts'

type Part = TurnMessage['parts'][number]
type Fields = Record<string, unknown>

interface ToolCall {
  toolName: string
  /** The part of the message that gets the result. */
  part: Fields
}

/** Removes `history`, before validation, from a body that names a conversation: the stored history counts there. */
export function dropHistory(body: unknown): void {
  if (!isRecord(body) || body.conversationId === undefined || body.conversationId === null) return
  Reflect.deleteProperty(body, 'history')
}

/** The turn of a body of start or sync. */
export const turnOf = ({ history, ...turn }: TurnBody): TurnRequest => ({
  ...turn,
  ...(history === undefined ? {} : { history: readHistory(history) }),
})

/**
 * Reads the history of a start: texts, or messages as a poll has them (`ModelMessage` of the AI SDK). The messages of
 * one answer, its tool calls and their results among them, become one message.
 * @throws Problem `invalid_request` with the path of every part that cannot be read
 */
export function readHistory(history: HistoryMessage[]): SeedMessage[] {
  const faults: Fault[] = []
  const seeds: SeedMessage[] = []
  const calls = new Map<string, ToolCall>()
  for (const [at, { role, content }] of history.entries()) {
    const path = `/history/${at}/content`
    const reader = partReader(role, calls, (where, message) => faults.push({ path: path + where, message }))
    if (role === 'user' || role === 'assistant') {
      const goesOn = role === 'assistant' && history[at - 1]?.role === 'tool' && Array.isArray(content)
      const begun = goesOn ? seeds.at(-1) : undefined
      if (typeof content === 'string') seeds.push({ role, content })
      else if (begun?.role === 'assistant' && Array.isArray(begun.content))
        begun.content.push({ type: 'step-start' }, ...content.flatMap(reader))
      else seeds.push({ role, content: content.flatMap(reader) })
    } else if (typeof content === 'string') faults.push({ path, message: 'must be an array of tool results' })
    else content.forEach(reader)
  }
  if (faults.length > 0) throw invalidBody(faults.slice(0, MAX_FAULTS))
  return seeds
}

const MAX_FAULTS = 20

type Report = (where: string, message: string) => void

/** Makes the reader of the parts of one message. A tool result becomes fields of the part of its call. */
function partReader(role: HistoryMessage['role'], calls: Map<string, ToolCall>, report: Report) {
  const known = PARTS_OF[role]
  return (part: Fields, index: number): Part[] => {
    const at = (where: string, message: string) => report(`/${index}${where}`, message)
    const text = (name: string): string | undefined => {
      const value = part[name]
      if (typeof value !== 'string') at(`/${pointer(name)}`, 'must be a string')
      else if (value.length > MAX_TEXT) at(`/${pointer(name)}`, `must have at most ${MAX_TEXT} characters`)
      else return value
      return undefined
    }
    switch (known.find((type) => type === part.type)) {
      case 'text':
      case 'reasoning': {
        const said = text('text')
        return said === undefined ? [] : [{ type: part.type as 'text', text: said }]
      }
      case 'file': {
        const [mediaType, url] = [text('mediaType'), urlOf(part.data)]
        if (url === undefined) at('/data', 'must be a data: URL in base64, or an http(s) URL')
        if (mediaType !== undefined && !MEDIA_TYPE.test(mediaType))
          at('/mediaType', 'must be a media type, such as image/png')
        return mediaType === undefined || url === undefined ? [] : [{ type: 'file', mediaType, url }]
      }
      case 'tool-call': {
        const [toolCallId, toolName] = [text('toolCallId'), text('toolName')]
        if (toolCallId === undefined || toolName === undefined) return []
        const call = { type: 'dynamic-tool', toolName, toolCallId, input: part.input ?? {}, ...UNANSWERED }
        calls.set(toolCallId, { toolName, part: call })
        return [call as Part]
      }
      case 'tool-result': {
        const call = calls.get(text('toolCallId') ?? '')
        const result = resultOf(part.output)
        if (call === undefined) at('/toolCallId', 'must be that of a tool call before it')
        else if (result === undefined) at('/output', `must be an object with a type of ${OUTPUTS.join(', ')}`)
        else Object.assign(call.part, { errorText: undefined, ...result })
        return []
      }
      default:
        at('/type', `must be one of ${known.join(', ')}`)
        return []
    }
  }
}

const PARTS_OF = {
  user: ['text', 'file'],
  assistant: ['text', 'reasoning', 'file', 'tool-call', 'tool-result'],
  tool: ['tool-result'],
} as const

/** A call whose result the history does not hold. */
const UNANSWERED = { state: 'output-error', errorText: 'The result of this call is not known.' }
const OUTPUTS = ['text', 'json', 'content', 'error-text', 'error-json', 'execution-denied']

/** The fields with which a tool part shows an output of the AI SDK; undefined when the value is no such output. */
function resultOf(output: unknown): Fields | undefined {
  if (!isRecord(output)) return undefined
  const { type, value, reason } = output
  switch (type) {
    case 'text':
    case 'json':
    case 'content':
      return { state: 'output-available', output: value ?? null }
    case 'error-text':
    case 'error-json':
      return {
        state: 'output-error',
        errorText: typeof value === 'string' ? value : JSON.stringify(value ?? null),
      }
    case 'execution-denied':
      return {
        state: 'output-error',
        errorText: typeof reason === 'string' ? reason : 'The call was denied.',
      }
    default:
      return undefined
  }
}

function urlOf(data: unknown): string | undefined {
  const url = isRecord(data) && data.type === 'url' ? data.url : data
  if (typeof url !== 'string' || !/^(data:[^,]*;base64,[\w+/-]*={0,2}$|https?:\/\/[^/])/.test(url))
    return undefined
  return URL.canParse(url) ? url : undefined
}

const MEDIA_TYPE = /^[\w.+-]+\/[\w.+*-]+$/

const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
