import { Agent, type IncomingMessage, request } from 'node:http'
import { type Service, token } from '../support/service.ts'
import type { GeneratedRequest, TokenKind } from './arbitrary.ts'
import type { Answer } from './check.ts'

/** How many ids of earlier answers are kept: enough to meet runs and conversations in every state. */
const KEPT_IDS = 50

const CONVERSATION = /"conversationId":"[0-9a-fA-F-]{36}"/

/** Sends generated requests to a service, and remembers the ids that it answers with for later requests. */
export class RequestClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })
  readonly #service: Service
  readonly #tokens: Record<TokenKind, string | undefined>
  readonly #ids: Record<'run' | 'conversation', string[]> = { run: [], conversation: [] }

  private constructor(service: Service, tokens: Record<TokenKind, string | undefined>) {
    this.#service = service
    this.#tokens = tokens
  }

  static async connect(service: Service): Promise<RequestClient> {
    return new RequestClient(service, {
      none: undefined,
      valid: await token('alice', {}, '12h'),
      forged: `${await token('alice', {}, '12h')}x`,
      'read only': await token('alice', { scope: 'agent:read' }, '12h'),
      delegate: await token('gateway', { scope: 'agent:read agent:write agent:delegate' }, '12h'),
    })
  }

  /** The request as it goes over the wire. */
  render(given: GeneratedRequest) {
    const { operation, ids, query, headers, token } = given
    const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(this.#idFor(name, operation.path, ids[name] ?? 0)),
    )
    const search = query.map((pair) => pair.map(encodeURIComponent).join('=')).join('&')
    const authorization = this.#tokens[token]
    const body = given.body?.replace(CONVERSATION, (field) => this.#known(field))
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
    const text = Buffer.concat(await answer.toArray()).toString()
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
    const known = this.#ids[name === 'runId' || path.includes('/stream') ? 'run' : 'conversation']
    return name === 'code' ? 'rate_limited' : (known[id % known.length] ?? 'run_none')
  }

  #remember({ runId, conversationId, id }: Record<string, unknown>): void {
    for (const [kind, found] of [
      ['run', runId],
      ['conversation', conversationId ?? id],
    ] as const) {
      if (typeof found !== 'string' || this.#ids[kind].includes(found)) continue
      this.#ids[kind].push(found)
      if (this.#ids[kind].length > KEPT_IDS) this.#ids[kind].shift()
    }
  }
}
