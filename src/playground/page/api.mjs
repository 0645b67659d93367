/** The address of the service, with the path under which a proxy shows it. */
const BASE = new URL('.', location.href)
const TOKEN = 'agent-chat-token'
const ATTEMPTS = 4

export const addressOf = (path) => new URL(path.slice(1), BASE).href

/** An answer of the service that refuses the request. */
export class Refusal extends Error {
  constructor(status, { detail, title, code, retryable = false, retryAfter } = {}) {
    super(detail ?? title ?? `The service has answered with the status ${status}.`)
    Object.assign(this, { status, code, retryable, retryAfter })
  }
}

export const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })

/** Calls the service with the token that the person has given, or with the one that the service gives on this machine. */
export function createApi() {
  let given = sessionStorage.getItem(TOKEN)
  let own

  async function ownToken() {
    const response = await fetch(addressOf('/docs/token'))
    return response.ok ? (await response.json()).token : undefined
  }

  async function send(method, path, { body, headers, signal } = {}) {
    if (given === null) own ??= await ownToken()
    const token = given ?? own
    return fetch(addressOf(path), {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    })
  }

  /** @returns the answer, when it is none of a refusal @throws Refusal */
  async function open(method, path, options) {
    let response = await send(method, path, options)
    if (response.status === 401 && given === null && own !== undefined) {
      own = undefined
      response = await send(method, path, options)
    }
    if (response.ok) return response
    throw new Refusal(response.status, await response.json().catch(() => undefined))
  }

  async function call(method, path, options) {
    const response = await open(method, path, options)
    return response.status === 204 ? undefined : response.json()
  }

  /** Does something that may be done again, because it reads only, or has a key. */
  async function persist(what, signal) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await what()
      } catch (error) {
        const isLost = error instanceof TypeError || (error.status >= 500 && error.retryable)
        if (!isLost || attempt === ATTEMPTS || signal?.aborted) throw error
        await pause((error.retryAfter ?? 1) * 1000, signal)
      }
    }
  }

  const get = (path, options) => persist(() => call('GET', path, options), options?.signal)

  /** Sends a start with a key, so that it can be sent again when its answer is lost: the run exists once. */
  function start(path, body, how = call) {
    const headers = { 'idempotency-key': newKey(), accept: 'application/json, text/event-stream' }
    return persist(() => how('POST', path, { body, headers }))
  }

  return {
    open,
    call,
    start,
    get,
    takeToken(token) {
      given = token
      sessionStorage.setItem(TOKEN, token)
    },
    forgetToken() {
      given = null
      sessionStorage.removeItem(TOKEN)
    },
  }
}

/** `crypto.randomUUID` is missing on pages that came over plain http from another machine. */
const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(36)).join('-')
