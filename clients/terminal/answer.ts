import type { AgentChat, AnswerStream, Chunk, EndedRun } from '../typescript/src/index.ts'
import type { Screen } from './screen.ts'

const json = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
const LONGEST = 500
const shortened = (text: string) => (text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text)

/** Writes an answer while it comes in. @returns the run when it has ended */
export async function showAnswer(chat: AgentChat, stream: AnswerStream, screen: Screen): Promise<EndedRun> {
  for await (const chunk of stream) {
    if (chunk.type === 'text-delta') screen.write(chunk.delta)
    const note = noteOf(chunk)
    if (note !== undefined) screen.note(shortened(note))
  }
  const run = await chat.wait(stream.runId)
  if (run.status === 'failed') screen.line(run.error)
  screen.note(facts(run))
  return run
}

function noteOf(chunk: Chunk): string | undefined {
  switch (chunk.type) {
    case 'reasoning-start':
      return 'the agent thinks'
    case 'tool-input-available':
      return `${chunk.toolName} ${json(chunk.input)}`
    case 'tool-output-available':
      return `answered ${json(chunk.output)}`
    case 'tool-output-error':
      return `failed: ${chunk.errorText}`
    default:
      return undefined
  }
}

function facts(run: EndedRun): string {
  const { status, usage, timings } = run
  const reason = 'finishReason' in run ? run.finishReason : undefined
  const parts = [
    status,
    reason,
    usage && `${usage.totalTokens} tokens`,
    timings?.durationMs === undefined ? undefined : `${(timings.durationMs / 1000).toFixed(1)} s`,
  ]
  return parts.filter((part) => part !== undefined).join(', ')
}
