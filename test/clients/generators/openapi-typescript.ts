import createClient from 'openapi-fetch'
import type { paths } from './generated/openapi.ts'

const client = createClient<paths>({
  baseUrl: process.env.AGENT_URL ?? '',
  headers: { authorization: `Bearer ${process.env.AGENT_TOKEN}` },
})

async function start(message: string): Promise<string> {
  const { data, error } = await client.POST('/api/agent/chat', { body: { message } })
  if (error?.code === 'conversation_busy') throw new Error(error.activeRunId ?? 'busy')
  if (data === undefined) throw new Error(error.detail)
  return data.runId
}

async function wait(runId: string) {
  for (;;) {
    const { data: run, error } = await client.GET('/api/agent/chat/{runId}', {
      params: { path: { runId }, query: { wait: 30 } },
    })
    if (run === undefined) throw new Error(error?.detail)
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
const { data: page } = await client.GET('/api/agent/chat', {
  params: { query: { status: ['completed'], limit: 10 } },
})
console.log('listed', page?.data.map(({ runId }) => runId).join() === run.runId)
const { data: cancelled } = await client.POST('/api/agent/chat/{runId}/cancel', {
  params: { path: { runId: await start('Tell me a story of 2000 words') } },
})
console.log('status', cancelled?.status)
