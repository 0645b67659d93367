import type { Load } from './load.ts'
import { LONG, type Rows } from './rows.ts'

export type ServerName = 'bare' | 'duties' | 'service' | 'service without engine'

/** A request that is measured, and the servers to which it is sent. */
export interface Case {
  name: string
  servers: ServerName[]
  load: Load
  /** The runs of a round are ended before the next round. */
  isEnded?: true
}

const ALL: ServerName[] = ['bare', 'duties', 'service']
const CHAT = '/api/agent/chat'

/** All cases, which `bench/README.md` explains. @param tag the `etag` of the small run */
export function casesOf(rows: Rows, token: string, tag: string): Case[] {
  const headers = { authorization: `Bearer ${token}` }
  const get = (path: string, more: Partial<Load> = {}): Load => ({
    method: 'GET',
    path,
    headers,
    status: 200,
    ...more,
  })
  const post = (body: object, more: Partial<Load> = {}): Load => ({
    method: 'POST',
    path: CHAT,
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    status: 202,
    ...more,
  })
  const tagged = { headers: { ...headers, 'if-none-match': tag }, status: 304 }
  return [
    { name: 'poll, small answer', servers: ALL, load: get(`${CHAT}/${rows.small}`) },
    { name: 'poll, 77 kB', servers: ALL, load: get(`${CHAT}/${rows.large}`) },
    { name: 'poll, unfinished', servers: ALL, load: get(`${CHAT}/${rows.unfinished}`) },
    { name: 'poll, 304', servers: ['service'], load: get(`${CHAT}/${rows.small}`, tagged) },
    { name: 'list of runs', servers: ['service'], load: get(CHAT) },
    {
      name: 'page of messages',
      servers: ['service'],
      load: get(`/api/agent/conversations/${rows.conversation}/messages`),
    },
    {
      name: 'start',
      servers: [...ALL, 'service without engine'],
      load: post({ message: 'What is 17 * 23?' }),
    },
    {
      name: 'next turn after fifty',
      servers: ['service'],
      load: post(
        {},
        {
          bodies: rows.long.map((conversationId) =>
            JSON.stringify({ message: 'And 17 * 24?', conversationId }),
          ),
          amount: LONG,
        },
      ),
      isEnded: true,
    },
    {
      name: 'start with a key',
      servers: ['service'],
      load: post({ message: 'What is 17 * 23?' }, { numbered: 'idempotency-key' }),
    },
  ]
}
