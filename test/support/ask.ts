import { token } from './service.ts'

/** Sends a request as alice to a service that is a process of its own. */
export async function ask(url: string, path: string, init: RequestInit = {}) {
  const response = await fetch(url + path, {
    ...init,
    headers: { authorization: `Bearer ${await token('alice')}`, ...init.headers },
  })
  return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) }
}

/** Starts a turn at such a service, as alice. */
export const say = (url: string, message: string) =>
  ask(url, '/api/agent/chat', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ message }),
  })
