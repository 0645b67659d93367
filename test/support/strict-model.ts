import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import type { Test } from 'tap'

interface Message {
  role: string
  content?: unknown
  tool_calls?: unknown[]
}

export interface StrictModel {
  url: string
  /** Tokens of every prompt that was accepted, and the number of those that were refused. */
  accepted: number[]
  refused: number
  summaries: number
  /** The faults of prompts against the rules of the provider, apart from their length. */
  faults: string[]
}

/** A fact in a text: `FACT-17`. */
const FACT = /FACT-[\w-]+/g

/**
 * An OpenAI-compatible provider that refuses prompts of more than `most` tokens and demands that roles alternate. Its
 * model calls `filler` when a message says "fill 5000", repeats every fact of its prompt in a summary, and answers
 * "facts?" with all facts that it knows. It counts one token for each `perToken` characters.
 */
export async function startStrictModel(t: Test, most: number, perToken = 3): Promise<StrictModel> {
  const model: StrictModel = { url: '', accepted: [], refused: 0, summaries: 0, faults: [] }
  const server = createServer(async (request, response) => {
    const body = JSON.parse(await readText(request)) as { messages: Message[]; tools?: unknown[] }
    const { messages } = body
    const tokens = Math.ceil(JSON.stringify([messages, body.tools ?? []]).length / perToken)
    if (tokens > most) {
      model.refused += 1
      response.writeHead(400, { 'content-type': 'application/json' })
      const message = `This model's maximum context length is ${most} tokens.`
      return response.end(JSON.stringify({ error: { message, code: 'context_length_exceeded' } }))
    }
    model.accepted.push(tokens)
    const fault = faultOf(messages)
    if (fault !== undefined) model.faults.push(fault)
    const isSummary = String(messages[0]?.content).startsWith('You write the summary')
    if (isSummary) model.summaries += 1
    const delta = say(messages, isSummary)
    const event = (data: object) => `data: ${JSON.stringify(data)}\n\n`
    const usage = { prompt_tokens: tokens, completion_tokens: 10, total_tokens: tokens + 10 }
    const finish_reason = 'tool_calls' in delta ? 'tool_calls' : 'stop'
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(
      event({ id: 'c', model: 'strict', choices: [{ index: 0, delta, finish_reason: null }] }) +
        event({ id: 'c', model: 'strict', choices: [{ index: 0, delta: {}, finish_reason }] }) +
        event({ id: 'c', choices: [], usage }) +
        'data: [DONE]\n\n',
    )
  })
  server.keepAliveTimeout = 600_000
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  model.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return model
}

function say(messages: Message[], isSummary: boolean): object {
  const last = messages.at(-1)
  const facts = [...new Set(JSON.stringify(messages).match(FACT) ?? [])]
  if (isSummary) return { content: `The user has named ${facts.join(', ')}.` }
  if (last?.role === 'tool') return { content: 'The tool has answered.' }
  const asked = String(last?.content)
  const characters = Number(/fill (\d+)[^\d]*$/.exec(asked)?.[1] ?? 0)
  if (characters > 0) {
    const call = { name: 'filler', arguments: JSON.stringify({ characters }) }
    return { tool_calls: [{ index: 0, id: 'call_0', type: 'function', function: call }] }
  }
  return { content: /facts\?\s*$/.test(asked) ? `I know ${facts.join(', ')}.` : 'Noted.' }
}

/** The roles of a strict chat template: the user and the assistant take turns, and a result follows its call. */
function faultOf([system, ...messages]: Message[]): string | undefined {
  if (system?.role !== 'system') return 'no instructions'
  let before = 'system'
  for (const { role } of messages) {
    if (role === 'user' && !['system', 'assistant'].includes(before)) return `user after ${before}`
    if (role === 'assistant' && !['user', 'tool'].includes(before)) return `assistant after ${before}`
    if (role === 'tool' && !['assistant', 'tool'].includes(before)) return `tool after ${before}`
    before = role
  }
  return ['user', 'tool'].includes(before) ? undefined : `ends with ${before}`
}
