import type { LanguageModelV4FinishReason, LanguageModelV4ToolResultPart } from '@ai-sdk/provider'
import { findExpression } from './arithmetic.ts'
import { type Reading, shorten } from './prompt.ts'
import { tellStory } from './story.ts'

/** What the offline model says in one step: reasoning, then text, then calls. */
export interface Plan {
  reasoning?: string
  text?: string
  calls?: { toolName: string; input: Record<string, unknown> }[]
  finishReason?: LanguageModelV4FinishReason['unified']
}

const RULES: ((reading: Reading) => Plan | undefined)[] = [
  report,
  dictated,
  named,
  note,
  choice,
  recall,
  story,
  time,
  arithmetic,
  greeting,
]

/** Makes a plan by the first rule that fits. The same prompt always gets the same plan. */
export function planReply(reading: Reading): Plan {
  const plan = RULES.map((rule) => rule(reading)).find((found) => found) ?? fallback(reading)
  const thinks = /\bthink\b/i.test(reading.message) && reading.results.length === 0
  return thinks ? { reasoning: `I was asked: "${shorten(reading.message)}". Let me see.`, ...plan } : plan
}

function report({ results }: Reading): Plan | undefined {
  return results.length > 0 ? { text: results.map(describe).join(' ') } : undefined
}

/** Says the JSON object that a message dictates: "Answer with {"city":"Bonn"}". */
function dictated({ message }: Reading): Plan | undefined {
  const text = /^answer with (\{.*\})\s*$/is.exec(message)?.[1]
  return text === undefined ? undefined : { text }
}

function describe({ toolName, output }: LanguageModelV4ToolResultPart): string {
  if (output.type === 'error-text') return `The tool "${toolName}" failed: ${output.value}`
  const value = 'value' in output ? (output.value as Record<string, unknown>) : {}
  if (toolName === 'calculate') return `${value.expression} = ${value.result}.`
  if (toolName === 'current_time') return `It is ${value.local}.`
  return `The tool "${toolName}" returned ${shorten(JSON.stringify(value))}.`
}

/** Calls the tool that a message names: "Call look_up_orders with {"status":"open"}". */
function named({ message, tools }: Reading): Plan | undefined {
  const [, name = '', json = '{}'] =
    /\bcall (?:the tool )?["`]?([\w-]+)["`]?(?: with (\{.*\}))?/i.exec(message) ?? []
  if (!tools.includes(name)) return undefined
  try {
    return { calls: [{ toolName: name, input: JSON.parse(json) }] }
  } catch {
    return { text: `The arguments for the tool "${name}" are not well-formed JSON.` }
  }
}

/** "Send Ada a note: lunch at one" */
function note({ message, tools }: Reading): Plan | undefined {
  const [, to, text] = /\bsend ([\p{L}'-]{1,40}) a note: ?(\S.{0,500})/iu.exec(message) ?? []
  if (to === undefined || text === undefined || !tools.includes('send_note')) return undefined
  return {
    text: `I would like to send ${to} a note.`,
    calls: [{ toolName: 'send_note', input: { to, text } }],
  }
}

/** "Let me choose: tea, coffee or milk" */
function choice({ message, tools }: Reading): Plan | undefined {
  const list = /\blet me choose: ?(\S.{0,500})/i.exec(message)?.[1]
  if (list === undefined || !tools.includes('choose_option')) return undefined
  const options = list
    .replace(/[.?!]+$/, '')
    .split(/,\s*|\s+or\s+/)
    .filter(Boolean)
    .slice(0, 10)
  return { calls: [{ toolName: 'choose_option', input: { question: 'Which one?', options } }] }
}

function recall({ message, earlier }: Reading): Plan | undefined {
  if (/\bwhat('s| is) my name\b/i.test(message)) {
    const name = earlier
      .map((text) => /\bmy name is ([\p{L}'-]+)/iu.exec(text)?.[1])
      .findLast((found) => found)
    return { text: name ? `Your name is ${name}.` : 'You have not told me your name.' }
  }
  const asked =
    /\b(my|the) (very )?(first|last|previous) (question|message)\b/i.exec(message) ??
    /\bwhat (did|have) I (just )?(say|said|ask|asked|tell|told|write|written)\b/i.exec(message)
  if (!asked) return undefined
  const which = /first/i.test(asked[0]) ? 'first' : 'last'
  const found = which === 'first' ? earlier[0] : earlier.at(-1)
  if (found === undefined) return { text: 'You have not said anything before this message.' }
  return { text: `Your ${which} message was: "${shorten(found)}"` }
}

function story({ message }: Reading): Plan | undefined {
  if (!/\bstory\b/i.test(message)) return undefined
  return { text: tellStory(Number(/(?<!\d)(\d+)[ -]sentences?/i.exec(message)?.[1] ?? 5), message) }
}

function time({ message }: Reading): Plan | undefined {
  if (!message.split(/[\r\n\u2028\u2029]/).some(asksForTime)) return undefined
  const timeZone = /\b[A-Z][A-Za-z]+\/[A-Z][A-Za-z_/]+/.exec(message)?.[0]
  return { calls: [{ toolName: 'current_time', input: timeZone ? { timeZone } : {} }] }
}

/** Searches in two steps: one pattern for both words would search for the second word from every first word on. */
function asksForTime(line: string): boolean {
  const asks = line.search(/\b(what|which|tell|current)\b/i)
  return asks >= 0 && /\b(time|date|day)\b/i.test(line.slice(asks))
}

function arithmetic({ message }: Reading): Plan | undefined {
  const expression = findExpression(message)
  return expression ? { calls: [{ toolName: 'calculate', input: { expression } }] } : undefined
}

function greeting({ message }: Reading): Plan | undefined {
  const greets = /^\s*(hi|hello|hey|hallo|good (morning|day|evening))\b/i.test(message) && message.length < 40
  return greets ? { text: 'Hello! How can I help you?' } : undefined
}

function fallback({ message }: Reading): Plan {
  return {
    text:
      'I am the offline model: I calculate, tell the time, recall what you said and tell stories. ' +
      `You wrote: "${shorten(message)}"`,
  }
}
