import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { AgentTurn } from '../../src/agent/turn.ts'
import type { RunEngine, StartOptions } from '../../src/engine/run-engine.ts'
import { triggerRunEngine } from '../../src/engine/trigger/adapter.ts'

/** What this needs of a tap test. */
type Teardown = { teardown(fn: () => unknown): void }

export interface HttpEngine {
  engine: RunEngine
  apiUrl: string
  /** `METHOD path` of every request that arrived. */
  requests: string[]
  /** What the adapter has logged. */
  logged: Array<{ level: string; message: string } & Record<string, unknown>>
  /** What the adapter has told for metrics. */
  calls: string[]
  /** Connections that are open. */
  open(): number
  /** Resolves when a connection has been closed. */
  closed(): Promise<unknown>
}

export type Answer = (request: IncomingMessage, response: ServerResponse, path: string) => void

/** The real adapter, and a server that answers as the test needs it. */
export async function httpEngine(t: Teardown, answer: Answer, callsPerMinute = 0): Promise<HttpEngine> {
  const requests: string[] = []
  const logged: HttpEngine['logged'] = []
  const calls: string[] = []
  let open = 0
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    requests.push(`${request.method} ${path}`)
    answer(request, response, path)
  }).listen(0, '127.0.0.1')
  server.on('connection', (socket) => {
    open++
    socket.on('close', () => {
      open--
      server.emit('left')
    })
  })
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const level = (name: string) => (details: object, message: string) =>
    void logged.push({ ...details, level: name, message })
  const apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const engine = triggerRunEngine({
    secretKey: 'tr_dev_test',
    apiUrl,
    callsPerMinute,
    listLagMs: 0,
    log: { warn: level('warn'), error: level('error') },
    onCall: ({ kind, outcome }) => calls.push(`${kind} ${outcome}`),
  })
  return { engine, apiUrl, requests, logged, calls, open: () => open, closed: () => once(server, 'left') }
}

export function answerJson(
  response: ServerResponse,
  body: unknown,
  status = 200,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

/** A run as the API of Trigger.dev tells of it. */
export function apiRun(id: string, status: string, more: Record<string, unknown> = {}) {
  const at = '2026-11-29T21:32:03.753Z'
  return {
    id,
    status,
    taskIdentifier: 'agent-chat',
    createdAt: at,
    updatedAt: at,
    startedAt: at,
    tags: ['turn_1'],
    isQueued: false,
    isExecuting: false,
    isWaiting: false,
    isCompleted: false,
    isSuccess: false,
    isFailed: false,
    isCancelled: false,
    isTest: false,
    costInCents: 0,
    baseCostInCents: 0,
    durationMs: 0,
    depth: 0,
    attempts: [],
    attemptCount: 1,
    triggerFunction: 'trigger',
    relatedRuns: {},
    env: { id: 'env', name: 'test' },
    ...more,
  }
}

export const TURN: AgentTurn = {
  version: 1,
  turnId: '00000000-0000-7000-8000-000000000001',
  conversationId: null,
  message: { id: 'm', role: 'user', parts: [{ type: 'text', text: 'hello' }] },
  history: [],
  ahead: [],
  assistantMessageId: 'a',
}

export const START: StartOptions = {
  engineKey: 'key',
  concurrencyKey: 'c',
  tags: ['turn_1'],
  ttlSeconds: 60,
  maxDurationSeconds: 60,
  keySeconds: 60,
}
