import type { ActionAnswer, AgentChat, AnswerStream, EndedRun } from '../typescript/src/index.ts'
import { showAnswer } from './answer.ts'
import type { Screen } from './screen.ts'

type PendingActions = NonNullable<Extract<EndedRun, { status: 'completed' }>['pendingActions']>

const HELP = `/new               begin a new conversation
/list              the newest conversations
/open <number|id>  go on with one of them
/retry             answer the last question again
/approve [number]  let the agent use the tool that it asks for
/deny [reason]     do not let it
/quit              leave (or Ctrl-D)
Everything else is said to the agent.`

interface Answering {
  runId?: string
  isUnwanted: boolean
}

/** How many conversations and messages are shown. */
const SHOWN = 10

/** The conversation in the terminal: what a line does, and what the agent waits for. */
export class Conversation {
  isOver = false
  readonly #chat: AgentChat
  readonly #screen: Screen
  #id: string | undefined
  #runId: string | undefined
  #listed: string[] = []
  #asked: { runId: string; actions: PendingActions } = { runId: '', actions: [] }
  /** The answer that is being written. Its run is known once it was started. */
  #answering: Answering | undefined

  readonly #commands: Record<string, (argument: string) => Promise<void> | void> = {
    new: () => this.#begin(),
    list: () => this.#list(),
    open: (which) => this.#open(which),
    retry: () => this.#retry(),
    approve: (which) => this.#decide(which, { decision: 'approve' }),
    deny: (reason) => this.#decide('', { decision: 'deny', ...(reason === '' ? {} : { reason }) }),
    help: () => this.#screen.line(HELP),
    quit: () => {
      this.isOver = true
    },
  }

  constructor(chat: AgentChat, screen: Screen) {
    this.#chat = chat
    this.#screen = screen
  }

  /** Does what a line says: a command, or a message for the agent. */
  async say(line: string): Promise<void> {
    const text = line.trim()
    if (text === '') return
    const [, name, argument = ''] = /^\/(\w+)\s*(.*)$/.exec(text) ?? []
    if (name === undefined) return this.#ask(text)
    const command = Object.hasOwn(this.#commands, name) ? this.#commands[name] : undefined
    if (command === undefined) this.#screen.line(`There is no /${name}. /help shows the commands.`)
    else await command(argument)
  }

  /** Cancels the answer that is being written. @returns false when there is none */
  interrupt(): boolean {
    if (this.#answering === undefined) return false
    this.#answering.isUnwanted = true
    if (this.#answering.runId !== undefined) this.#cancel(this.#answering.runId)
    return true
  }

  #cancel(runId: string): void {
    // The stream of the answer ends when the run does.
    this.#chat.cancel(runId).catch((error) => this.#screen.line(String(error.message)))
  }

  #ask(message: string): Promise<void> {
    const turn = { message, ...(this.#id === undefined ? {} : { conversationId: this.#id }) }
    return this.#answer(() => this.#chat.stream(turn))
  }

  /** Starts or follows a run, and shows its answer. A Ctrl-C in the meantime cancels the run once its id is known. */
  async #answer(start: () => AnswerStream | Promise<AnswerStream>): Promise<void> {
    const answering: Answering = { isUnwanted: false }
    this.#answering = answering
    try {
      const stream = await start()
      answering.runId = stream.runId
      this.#id = stream.conversationId ?? this.#id
      this.#runId = stream.runId
      if (answering.isUnwanted) this.#cancel(stream.runId)
      this.#look(await showAnswer(this.#chat, stream, this.#screen))
    } finally {
      this.#answering = undefined
    }
  }

  /** Shows what the agent waits for. */
  #look(run: { runId: string; pendingActions?: PendingActions }): void {
    const actions = run.pendingActions ?? []
    this.#asked = { runId: run.runId, actions }
    for (const [index, { toolName, args, kind, message }] of actions.entries()) {
      const asks = kind === 'approval' ? 'wants to use' : 'waits for a result of'
      const why = message === undefined ? '' : ` ${message}`
      this.#screen.line(`${index + 1}. The agent ${asks} ${toolName} ${JSON.stringify(args)}.${why}`)
    }
    if (actions.some(({ kind }) => kind === 'approval')) this.#screen.line('/approve, or /deny and why?')
  }

  async #decide(which: string, answer: ActionAnswer): Promise<void> {
    const { runId, actions } = this.#asked
    const action = actions[which === '' ? 0 : Number(which) - 1]
    if (action === undefined) return this.#screen.line('The agent does not wait for such a decision.')
    const { status, continuedBy } = await this.#chat.actions.answer(runId, action.actionId, answer)
    this.#asked = { runId, actions: actions.filter((one) => one !== action) }
    this.#screen.note(`${action.toolName}: ${status}`)
    if (continuedBy !== undefined) await this.#answer(() => this.#chat.follow(continuedBy))
  }

  #begin(): void {
    this.#id = undefined
    this.#runId = undefined
    this.#asked = { runId: '', actions: [] }
    this.#screen.line('A new conversation begins with your next message.')
  }

  async #list(): Promise<void> {
    const { data } = await this.#chat.conversations.list({ limit: SHOWN })
    this.#listed = data.map(({ id }) => id)
    if (data.length === 0) this.#screen.line('There are no conversations.')
    for (const [index, { id, title }] of data.entries())
      this.#screen.line(`${id === this.#id ? '*' : ' '}${index + 1}. ${title}  ${id}`)
  }

  async #open(which: string): Promise<void> {
    const id = this.#listed[Number(which) - 1] ?? which
    if (id === '') return this.#screen.line('Which one? /list shows them.')
    const { title, activeRunId } = await this.#chat.conversations.get(id)
    const { data } = await this.#chat.conversations.messages(id, { order: 'desc', limit: SHOWN })
    const [newest] = (await this.#chat.list({ conversationId: id, limit: 1 })).data
    this.#id = id
    this.#runId = newest?.runId
    this.#screen.note(title)
    for (const { role, text, error } of data.reverse())
      this.#screen.line(role === 'user' ? `> ${text}` : text || (error ?? ''))
    if (activeRunId !== null) await this.#answer(() => this.#chat.follow(activeRunId))
    else if (newest !== undefined) this.#look(newest)
  }

  async #retry(): Promise<void> {
    const runId = this.#runId
    if (runId === undefined) return this.#screen.line('There is no question to answer again.')
    await this.#answer(async () => this.#chat.follow((await this.#chat.retry(runId)).runId))
  }
}
