import { APICallError, RetryError } from 'ai'
import { FAILURES, type FailureCode } from './failure.ts'
import { readProvider } from './provider-report.ts'
import { SettingsError } from './settings-error.ts'

/** The worker's log for the operator. Trigger.dev's `logger` fits this interface. */
export interface AgentLog {
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

const LONGEST = 300
/** A provider's message quotes the prompt when the two share this many characters in a row. */
const QUOTATION = 20
const SHORTEST = 4
const KEY = /\b(sk|pk|key|gsk|xai|AIza)[-_\w*.]{8,}/g

/**
 * Says in one sentence why a turn failed, for the operator: status, host and the provider's own code and words,
 * without keys and without anything of the prompt.
 * @param prompt the texts that must not appear
 */
export function describeFailure(code: FailureCode, error: unknown, prompt: string[]): string {
  const { status, host, code: own, message } = readProvider(error) ?? {}
  if (status === undefined && host === undefined && own === undefined)
    return `${FAILURES[code].message} (${code}): ${nameOf(error)}`
  const from = [status ?? 'no answer', ...(host ? ['from', host] : [])].join(' ')
  const said = message === undefined ? '' : redact(message, [...prompt, ...askedIn(error)])
  return `${FAILURES[code].message} (${code}): ${[from, own].filter(Boolean).join(', ')}${said && `: ${said}`}`
}

/**
 * Describes an error by its kind and the lines of code that threw it. The message is left out, because it may quote a
 * user; only a `SettingsError` shows its message.
 */
export function nameOf(error: unknown): string {
  if (error instanceof SettingsError) return error.message
  if (!(error instanceof Error)) return `a thrown ${typeof error}`
  const { code } = error as { code?: unknown }
  const frames = (error.stack ?? '').match(/^ +at .+$/gm)?.slice(0, 3) ?? []
  const kind = typeof code === 'string' ? `${error.name} ${code}` : error.name
  return [kind, ...frames.map((frame) => frame.trim())].join(' ')
}

/** The provider's message on one line, or a note in its place when the message quotes the prompt. */
function redact(message: string, prompt: string[]): string {
  const line = message.replace(/\s+/g, ' ').trim()
  if (quotes(line, prompt)) return '[its message quotes the conversation and is left out]'
  const masked = line.replace(KEY, '[key]')
  return masked.length > LONGEST ? `${masked.slice(0, LONGEST)}…` : masked
}

function quotes(line: string, prompt: string[]): boolean {
  const texts = prompt
    .map((text) => text.replace(/\s+/g, ' ').trim())
    .filter((text) => text.length >= SHORTEST)
  if (texts.some((text) => text.length <= QUOTATION && line.includes(text))) return true
  const whole = texts.join('\n')
  return Array.from({ length: Math.max(0, line.length - QUOTATION + 1) }, (_, at) =>
    line.slice(at, at + QUOTATION),
  ).some((piece) => whole.includes(piece))
}

/** The texts that the failed model call had sent, results of tools included. */
function askedIn(error: unknown): string[] {
  const call = RetryError.isInstance(error) ? error.lastError : error
  if (!APICallError.isInstance(call)) return []
  const { model: _, ...asked } = (call.requestBodyValues ?? {}) as Record<string, unknown>
  return textsIn(asked.messages ?? asked.contents ?? asked.input ?? [])
}

const NO_CONTENT = new Set(['role', 'type', 'id', 'tool_call_id', 'call_id', 'name'])

/** All strings in a value, except the names that belong to its structure. */
export function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, entry]) => (NO_CONTENT.has(key) ? [] : textsIn(entry)))
}
