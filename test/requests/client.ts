import { Agent, type IncomingMessage, request } from 'node:http'
import { type Service, token } from '../support/service.ts'
import type { GeneratedRequest, TokenKind } from './arbitrary.ts'
import type { Answer } from './check.ts'

/** How many ids of earlier answers are kept: enough to meet runs and conversations in every state. */
const KEPT_IDS = 50

const MESSAGE = /"throughMessageId":"[0-9a-fA-F-]{36}"/
const CONVERSATION = /"conversationId":"[0-9a-fA-F-]{36}"/

/** Sends generated requests to a service, and remembers the ids that it answers with for later requests. */
export class RequestClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })
  readonly #service: Pick<Service, 'url'>
  readonly #tokens: Record<TokenKind, string | undefined>
  readonly #ids: Record<'run' | 'conversation' | 'delivery', string[]> = {
    run: [],
    conversation: [],
    delivery: [],
  }
  /** A message of each conversation whose messages were listed. */
  readonly #messages = new Map<string, string>()

  /** Tool calls that wait for an answer. */
  #actions: { runId: string; actionId: string }[] = []

  private constructor(service: Pick<Service, 'url'>, tokens: Record<TokenKind, string | undefined>) {
    this.#service = service
    this.#tokens = tokens
  }

  static async connect(service: Pick<Service, 'url'>): Promise<RequestClient> {
    return new RequestClient(service, {
      none: undefined,
      valid: await token('alice', {}, '12h'),
      forged: `${await token('alice', {}, '12h')}x`,
      'read only': await token('alice', { scope: 'agent:read' }, '12h'),
      delegate: await token('gateway', { scope: 'agent:read agent:write agent:delegate' }, '12h'),
    })
  }

  /** Starts runs whose answers end with a tool call that waits, because no generated message is likely to. */
  async waitForActions(count: number): Promise<void> {
    const call = async (path: string, init: RequestInit = {}) => {
      const headers = { authorization: `Bearer ${this.#tokens.valid}`, 'content-type': 'application/json' }
      return (await fetch(`${this.#service.url}/api/agent/${path}`, { ...init, headers })).json()
    }
    const body = JSON.stringify({ message: 'Send Ada a note: lunch at one' })
    for (let n = 0; n < count; n++) await call('chat/sync', { method: 'POST', body })
    const { data } = (await call('actions')) as { data: { runId: string; actionId: string }[] }
    this.#actions = data
  }

  /** The request as it goes over the wire. */
  render(given: GeneratedRequest) {
    const { operation, ids, query, headers, token } = given
    const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(this.#idFor(name, operation.path, ids[name] ?? 0)),
    )
    const search = query.map((pair) => pair.map(encodeURIComponent).join('=')).join('&')
    const authorization = this.#tokens[token]
    const message = [...this.#messages].find(([conversation]) => path.includes(conversation))?.[1]
    const body = given.body
      ?.replace(CONVERSATION, (field) => this.#known(field))
      .replace(MESSAGE, (field) => (message === undefined ? field : `"throughMessageId":"${message}"`))
    return {
      method: operation.method,
      path: search === '' ? path : `${path}?${search}`,
      headers: {
        ...headers,
        ...(authorization === undefined ? {} : { authorization: `Bearer ${authorization}` }),
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
      },
      body,
    }
  }

  async send(rendered: ReturnType<RequestClient['render']>): Promise<Answer> {
    const { hostname, port } = new URL(this.#service.url)
    const { method, path, headers, body } = rendered
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ hostname, port, method, path, headers, agent: this.#agent }, resolve)
        .once('error', reject)
        .end(body)
    })
    const text = await textOf(answer, path)
    if (/^application\/json/.test(answer.headers['content-type'] ?? '')) this.#remember(JSON.parse(text))
    return { status: answer.statusCode ?? 0, headers: answer.headers, body: text }
  }

  close(): void {
    this.#agent.destroy()
  }

  /** Half of the conversations that bodies name are known ones: an invented id is always answered with 404. */
  #known(field: string): string {
    const place = Number.parseInt(field.slice(-3, -1), 16)
    const { conversation } = this.#ids
    const id = conversation[place % conversation.length]
    return place % 2 === 0 || id === undefined ? field : `"conversationId":"${id}"`
  }

  /** A number stands for one of the ids that are known by now. */
  #idFor(name: string, path: string, id: string | number): string {
    if (typeof id === 'string') return id
    if (path.includes('/actions/')) {
      const { runId, actionId } = this.#actions[id % this.#actions.length] ?? {}
      return (name === 'runId' ? runId : actionId) ?? 'run_none'
    }
    const isRun = name === 'runId' || path.includes('/stream')
    const isDelivery = path.includes('/webhook-deliveries/')
    const ids = this.#ids[isRun ? 'run' : isDelivery ? 'delivery' : 'conversation']
    const known = path.endsWith('/fork') ? [...this.#messages.keys()] : ids
    return name === 'code' ? 'rate_limited' : (known[id % known.length] ?? 'run_none')
  }

  #remember({ runId, conversationId, id, event, data }: Record<string, unknown>): void {
    for (const { role, id: messageId, metadata } of Array.isArray(data) ? data : [])
      if (role !== undefined) this.#messages.set(metadata.conversationId, messageId)
    const [newest] = Array.isArray(data) ? data : []
    if (newest?.event !== undefined) this.#remember(newest)
    for (const [kind, found] of [
      ['run', runId],
      ['conversation', event === undefined ? (conversationId ?? id) : conversationId],
      ['delivery', event === undefined ? undefined : id],
    ] as const) {
      if (typeof found !== 'string' || this.#ids[kind].includes(found)) continue
      this.#ids[kind].push(found)
      if (this.#ids[kind].length > KEPT_IDS) this.#ids[kind].shift()
    }
  }
}

/** The whole answer. A feed never ends: the client leaves when it has begun. */
async function textOf(answer: IncomingMessage, path: string): Promise<string> {
  const isFeed = /\/events(\?|$)/.test(path) && answer.statusCode === 200
  if (!isFeed) return Buffer.concat(await answer.toArray()).toString()
  for await (const piece of answer) return String(piece)
  return ''
}
