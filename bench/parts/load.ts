import autocannon from 'autocannon'
import type { Server } from './child.ts'
import type { Round } from './figures.ts'

/** A request that is sent again and again. */
export interface Load {
  method: 'GET' | 'POST'
  path: string
  headers: Record<string, string>
  body?: string
  /** Bodies that are sent in turn, instead of one body. */
  bodies?: string[]
  /** Number of requests of a round. Such a round ends with them and not after some seconds. */
  amount?: number
  /** The status that every answer must have. */
  status: number
  /** Replaces `{n}` in a header with a number that is used once. */
  numbered?: string
}

export const CONNECTIONS = 50

/** Sends requests for some seconds over 50 connections. @throws Error when an answer has another status than the case */
export async function round(server: Server, load: Load, seconds: number): Promise<Round> {
  const before = await server.cpu()
  const result = await autocannon({
    url: server.url + load.path,
    method: load.method,
    headers: load.headers,
    ...(load.body === undefined ? {} : { body: load.body }),
    connections: CONNECTIONS,
    ...(load.amount === undefined ? { duration: seconds } : { amount: load.amount }),
    ...(load.numbered === undefined ? {} : { requests: [{ setupRequest: numbering(load.numbered) }] }),
    ...(load.bodies === undefined ? {} : { requests: [{ setupRequest: inTurn(load.bodies) }] }),
  } as autocannon.Options)
  const used = (await server.cpu()) - before
  const { statusCodeStats = {}, requests, latency, duration, errors } = result
  const wrong = Object.keys(statusCodeStats).filter((status) => Number(status) !== load.status)
  if (errors > 0 || wrong.length > 0)
    throw new Error(
      `${server.name}: ${errors} errors, and answers of ${wrong} where ${load.status} was meant`,
    )
  return {
    rate: requests.total / duration,
    p50: latency.p50,
    p99: latency.p99,
    cpu: used / requests.total,
  }
}

let turn = 0
const inTurn = (bodies: string[]) => (request: autocannon.Request) => ({
  ...request,
  body: bodies[turn++ % bodies.length] ?? '',
})

let number = 0
const numbering = (header: string) => (request: autocannon.Request) => ({
  ...request,
  headers: { ...request.headers, [header]: `${process.pid}-${++number}` },
})
