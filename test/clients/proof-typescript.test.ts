import { AgentChat } from '../../clients/typescript/src/index.ts'
import { proof, questionOf, RUNS } from './proof.ts'

const AT_ONCE = 24

/** Every other answer is read as a stream as well, which must hold every chunk once. */
async function ask(chat: AgentChat, index: number): Promise<string> {
  const { message, expected } = questionOf(index)
  let text: string | undefined
  let runId: string
  if (index % 2 === 0) {
    runId = (await chat.start({ message })).runId
  } else {
    const stream = await chat.stream({ message })
    text = ''
    for await (const piece of stream.text()) text += piece
    runId = stream.runId
  }
  const run = await chat.wait(runId)
  if (run.status !== 'completed') throw new Error(`${run.runId} ended ${run.status}`)
  if (!run.text.includes(expected)) throw new Error(`${message} was answered with ${run.text}`)
  if (text !== undefined && text !== run.text) throw new Error(`the stream said ${text}, the run ${run.text}`)
  return run.runId
}

proof('TypeScript', async (url, token) => {
  const chat = new AgentChat({ url, token })
  const runIds: string[] = []
  let next = 0
  const asker = async () => {
    while (next < RUNS) runIds.push(await ask(chat, next++))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, asker))
  return runIds
})
