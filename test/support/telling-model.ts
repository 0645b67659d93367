import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import type { Teardown } from './service.ts'

interface Body {
  messages: Array<{ role: string; content: string }>
  tools?: Array<{ function: { name: string } }>
}

/** An OpenAI-compatible provider whose every answer tells the instructions and the tools that it was given. */
export async function startTellingModel(t: Teardown): Promise<Record<string, string>> {
  const server = createServer(async (request, response) => {
    const { messages, tools = [] } = (await json(request)) as Body
    const instructions = messages.find(({ role }) => role === 'system')?.content.split('\n')[0]
    const content = `${instructions} [${tools.map(({ function: { name } }) => name).join(' ')}]`
    const choice = (delta: object, finish_reason: string | null) =>
      `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })}\n\n`
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(`${choice({ role: 'assistant', content }, null)}${choice({}, 'stop')}data: [DONE]\n\n`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { AGENT_MODEL: 'compatible:telling', AGENT_MODEL_BASE_URL: `http://127.0.0.1:${port}` }
}
