import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { ready } from '../streams/sse.ts'
import { EVERYTHING, freePort } from '../support/mcp-server.ts'
import { startEngine, startService } from '../support/service.ts'
import { until } from './rows.ts'

const CHAT = '/api/agent/chat'

t.test('a run calls tools of MCP servers, and has a warning about a server that is away', async (t) => {
  const servers = [
    { name: 'all', command: process.execPath, args: [EVERYTHING, 'stdio'], timeoutMs: 60_000 },
    { name: 'gone', url: `http://127.0.0.1:${await freePort()}/mcp` },
  ]
  const childEnv = { AGENT_MCP_SERVERS: JSON.stringify(servers), AGENT_ORDERS_KEY: 'MARKER' }
  const service = await startService(t, { engine: await startEngine(t, { childEnv }) })
  await ready(service)
  const { call, engine } = service
  const sync = async (message: string) =>
    (await call('POST', `${CHAT}/sync`, { body: { message }, headers: { prefer: 'wait=120' } })).body

  const run = await sync('Call all_echo with {"message":"hi"}')
  const warnings = [
    {
      code: 'mcp_unavailable',
      message: 'The MCP server "gone" could not be reached, so its tools were missing.',
    },
  ]
  t.match(run, {
    status: 'completed',
    toolCalls: [{ toolName: 'all_echo', args: { message: 'hi' }, result: 'Echo: hi' }],
    warnings,
  })
  t.match((await call('GET', `${CHAT}/${run.runId}`)).body, { warnings })
  t.match((await call('GET', `${CHAT}?runId=${run.runId}`)).body.data, [{ warnings }])
  t.notMatch((await sync('Call all_get-env')).toolCalls, /MARKER|AGENT_/)

  const { body } = await call('POST', CHAT, {
    body: { message: 'Call all_trigger-long-running-operation with {"duration":120,"steps":2}' },
  })
  const [worker, server] = await until(
    async () =>
      engine.stats().pids.flatMap((pid) => childrenOf(pid).map((child) => [pid, child] as const))[0],
  )
  process.kill(worker, 'SIGKILL')
  t.match((await service.ended(body.runId)).body, { status: 'failed' })
  await until(async () => !existsSync(`/proc/${server}`))
  t.pass('the process of the server has ended with the killed worker')
})

/** The child processes of a process. */
function childrenOf(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`
  return existsSync(path) ? readFileSync(path, 'utf8').split(' ').filter(Boolean).map(Number) : []
}
