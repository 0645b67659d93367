import { CreateUploadPayloadUrlResponseBody } from '@trigger.dev/core/v3/schemas'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod/v4'
import { answer, HttpError } from './answers.ts'
import { requireSecret } from './auth.ts'
import { readBody } from './bodies.ts'
import type { RouteContext } from './context.ts'
import { PACKETS_PATH } from './packets.ts'

type ByPath = { Params: { '*': string } }
type Signed = { Params: { path: string }; Querystring: Record<string, string> }
const MAX_PACKET_BYTES = 10 * 1024 * 1024

/** Addresses to which clients upload large payloads and outputs, and from which they download them. */
export function packetRoutes(app: FastifyInstance, { packets, switches }: RouteContext): void {
  app.put<ByPath>('/api/v2/packets/*', async (request, reply) => {
    requireSecret(request.apiCaller)
    const path = request.params['*']
    if (!switches.objectStore) throw new HttpError(500, { error: 'Failed to generate presigned URL' })
    const body = { presignedUrl: packets.presign('PUT', path), storagePath: path }
    return answer(reply, CreateUploadPayloadUrlResponseBody, body)
  })

  app.get<ByPath>('/api/v1/packets/*', async (request, reply) => {
    requireSecret(request.apiCaller)
    if (!switches.objectStore) throw new HttpError(500, { error: 'Failed to generate presigned URL' })
    const body = { presignedUrl: packets.presign('GET', request.params['*']) }
    return answer(reply, z.object({ presignedUrl: z.string() }), body)
  })
}

/** The object store itself, which clients reach by a presigned URL alone, without a key. */
export function objectStoreRoutes(app: FastifyInstance, { packets }: RouteContext): void {
  app.put<Signed>(`${PACKETS_PATH}:path`, async (request, reply) => {
    const { path } = request.params
    if (!packets.isSigned('PUT', path, request.query))
      throw new HttpError(403, { error: 'Invalid signature' })
    const type = request.headers['content-type'] ?? 'application/json'
    packets.put(path, { data: await readBody(request, MAX_PACKET_BYTES), type })
    return reply.code(200).send()
  })

  app.get<Signed>(`${PACKETS_PATH}:path`, async (request, reply) => {
    const { path } = request.params
    if (!packets.isSigned('GET', path, request.query))
      throw new HttpError(403, { error: 'Invalid signature' })
    const packet = packets.get(path)
    if (!packet) throw new HttpError(404, { error: 'Not found' })
    return reply.type(packet.type).send(packet.data)
  })
}
