import type { ModelMessage, UIMessageChunk } from 'ai'
import { carryOut } from './actions/carry-out.ts'
import { ownMessages } from './history.ts'
import { type PreparedTurn, prepareTurn, type TurnTools } from './prepared-turn.ts'
import { isBlank } from './prompt.ts'
import { type Speech, speak } from './speech.ts'
import type { AgentTurn, AskedAction, KeptWindow, TurnMessage } from './turn.ts'

export interface Conversation extends TurnTools {
  write(chunk: UIMessageChunk): Promise<void>
  describeToolError(error: unknown): string
}

export interface Answer {
  parts: TurnMessage['parts']
  /** Whether the last text has the form that was asked for. */
  structured: boolean
  /** The calls for which the turn waits. */
  pendingActions: AskedAction[]
  /** What later prompts need; absent when prompts are not measured in tokens. */
  window?: KeptWindow
}

/** Lets the agent answer a turn and writes the chunks of the answer. The watch observes how the turn ends. */
export async function converse(turn: AgentTurn, conversation: Conversation): Promise<Answer> {
  const prepared = await prepareTurn(turn, conversation)
  const { history, window, toolbox, pending } = prepared
  const before = await earlierParts(turn, prepared, conversation)
  const told = await ownMessages({ id: turn.assistantMessageId, role: 'assistant', parts: before })
  const prompt = async () => {
    const { messages, counts } = await history.fit()
    conversation.watch.remembers(counts)
    return [...messages, ...told]
  }
  const say = (messages: ModelMessage[]): Promise<Speech> => {
    const { watch, write, describeToolError } = conversation
    const messageId = turn.assistantMessageId
    return speak(messages, {
      agent: prepared.agent(),
      messageId,
      watch,
      toolbox,
      pending,
      write,
      describeToolError,
    })
  }

  let asked = await prompt()
  const speech = await say(asked)
  if (conversation.watch.verdict.isOverflow) {
    conversation.watch.again()
    window.halve()
    asked = await prompt()
    add(speech, await say([...asked, ...speech.messages]))
  }
  const structured = await isFormed(prepared, conversation, speech, (repair) =>
    say([...asked, ...speech.messages, repair]),
  )
  const isWaiting = !conversation.watch.verdict.isCut
  const answer = {
    parts: [...before, ...speech.parts],
    structured,
    pendingActions: isWaiting ? pending.all : [],
  }
  if (prepared.settings.contextTokens === undefined) return answer
  const { written: summary } = history
  const { learned: charactersPerToken } = window
  const kept = {
    ...(summary === undefined ? {} : { summary }),
    ...(charactersPerToken === undefined ? {} : { charactersPerToken }),
  }
  return { ...answer, window: kept }
}

/** The answer so far of a turn that goes on: its calls get their results first. */
async function earlierParts(
  { continues }: AgentTurn,
  { toolbox }: PreparedTurn,
  { watch, write, describeToolError }: Conversation,
): Promise<TurnMessage['parts']> {
  if (continues === undefined) return []
  if (continues.message.parts.some((part) => part.type === 'text' && !isBlank(part.text)))
    watch.verdict.hasSpoken()
  return carryOut(continues, { toolbox, signal: watch.signal, write, describeToolError })
}

/**
 * Whether a whole answer has the form that was asked for, after one repair at most. An answer that a limit has cut is
 * not judged.
 */
async function isFormed(
  { form, settings }: PreparedTurn,
  { watch }: Conversation,
  speech: Speech,
  say: (repair: ModelMessage) => Promise<Speech>,
): Promise<boolean> {
  const isWhole = () => {
    const end = watch.reach()
    return end.status === 'completed' && (end.finishReason === 'stop' || end.finishReason === 'other')
  }
  if (form === undefined || !isWhole()) return false
  const repair = form.repair(speech.parts)
  if (repair === undefined) return true
  if (watch.meter.steps < settings.maxSteps) {
    watch.again()
    add(speech, await say(repair))
    if (!isWhole()) return false
  }
  const isRepaired = form.repair(speech.parts) === undefined
  if (!isRepaired) watch.verdict.refuse('output_invalid', new Error('The answer does not fit the schema.'))
  return isRepaired
}

function add(speech: Speech, more: Speech): void {
  speech.parts = [...speech.parts, ...more.parts]
  speech.messages = [...speech.messages, ...more.messages]
}
