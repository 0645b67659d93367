import { cancelAgentChat, listAgentChats, pollAgentChat, startAgentChat } from './generated/orval.ts'

const options = { headers: { authorization: `Bearer ${process.env.AGENT_TOKEN}` } }

async function start(message: string): Promise<string> {
  const { status, data } = await startAgentChat({ message }, options)
  if (status === 409 && data.code === 'conversation_busy') throw new Error(data.activeRunId ?? 'busy')
  if (status !== 202) throw new Error(data.detail)
  return data.runId
}

async function wait(runId: string) {
  for (;;) {
    const { status, data: run } = await pollAgentChat(runId, { wait: 30 }, options)
    if (status !== 200) throw new Error(String(status))
    // @ts-expect-error A run that has not ended has no text.
    run.text
    if (run.status !== 'queued' && run.status !== 'running') return run
  }
}

const run = await wait(await start('What is 17 * 23?'))
if (run.status === 'completed') {
  const text: string = run.text
  console.log('text', text)
}
const page = await listAgentChats({ status: ['completed'], limit: 10 }, options)
console.log('listed', page.status === 200 && page.data.data.map(({ runId }) => runId).join() === run.runId)
const cancelled = await cancelAgentChat(await start('Tell me a story of 2000 words'), options)
console.log('status', cancelled.status === 200 && cancelled.data.status)
