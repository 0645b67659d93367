// Process: `npm run chat` is a conversation with the agent in a terminal. AGENT_URL is the address of the service,
// http://localhost:3000 when unset. AGENT_TOKEN is the bearer token; when it is unset, tokens for the user AGENT_USER
// (alice) are made as `npm run token` makes them.
import { createInterface } from 'node:readline'
import { AgentChat, AgentChatError } from '../typescript/src/index.ts'
import { Conversation } from './conversation.ts'
import { developmentToken } from './development-token.ts'
import { Screen } from './screen.ts'

/** A terminal and npm may both pass one Ctrl-C on, so a second one within this time is its echo. */
const ECHO_MS = 300
/** Milliseconds in which the service has to answer at the start. */
const GREETING_MS = 5_000

const { AGENT_URL, AGENT_TOKEN, AGENT_USER = 'alice', PORT = '3000' } = process.env
const url = AGENT_URL ?? `http://localhost:${PORT}`
const chat = new AgentChat({ url, token: AGENT_TOKEN ?? developmentToken(AGENT_USER) })
const screen = new Screen(process.stdout)
const conversation = new Conversation(chat, screen)

async function main(): Promise<number> {
  try {
    await chat.conversations.list({ limit: 1 }, { deadlineMs: GREETING_MS })
  } catch (error) {
    const isAway = error instanceof AgentChatError && error.code === 'connection_failed'
    screen.line(isAway ? `No service answers at ${url}. \`npm start\` starts one.` : messageOf(error))
    return 1
  }
  screen.line(`Talking with the agent at ${url}. /help shows the commands, Ctrl-C stops an answer.`)

  const lines = createInterface({
    input: process.stdin,
    output: process.stdout,
    prompt: '> ',
    terminal: process.stdin.isTTY === true,
  })
  let interruptedAt: number | undefined
  const interrupt = () => {
    const isEcho = interruptedAt !== undefined && performance.now() - interruptedAt < ECHO_MS
    if (isEcho) return
    const isSecond = interruptedAt !== undefined
    interruptedAt = performance.now()
    if (isSecond || !conversation.interrupt()) lines.close()
    // The service may not answer. A second Ctrl-C then ends the program.
    if (isSecond) process.exit(0)
  }
  // A terminal in raw mode sends a key, and `kill` a signal.
  lines.on('SIGINT', interrupt)
  process.on('SIGINT', interrupt)

  lines.prompt()
  for await (const line of lines) {
    await conversation.say(line).catch((error) => screen.line(messageOf(error)))
    if (conversation.isOver) break
    interruptedAt = undefined
    lines.prompt()
  }
  screen.line('')
  return 0
}

function messageOf(error: unknown): string {
  if (error instanceof AgentChatError && error.code === 'unauthorized')
    return `The service does not accept the token: ${error.detail}`
  return error instanceof Error ? error.message : String(error)
}

process.exitCode = await main()
process.stdin.destroy()
