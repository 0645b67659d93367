import type { FastifyRequest } from 'fastify'
import type { z } from 'zod/v4'
import { bodyTooLarge, invalidBody, invalidJson } from './answers.ts'

/** Reads a body of at most `limit` bytes. */
export async function readBody(request: FastifyRequest, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of withoutDestroying<Buffer>(request)) {
    size += chunk.length
    if (size > limit) throw bodyTooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/**
 * The pieces of a body. Unlike the stream itself, this leaves the connection alive when the reader gives up
 * early, so that the client gets to see why.
 */
export const withoutDestroying = <T>(request: FastifyRequest): AsyncIterable<T> =>
  request.raw.iterator({ destroyOnReturn: false })

/** Reads a JSON body and holds it to a schema; like the real server, whatever the content type says. */
export async function readJson<Schema extends z.ZodType>(
  request: FastifyRequest,
  schema: Schema,
  limit: number,
): Promise<z.infer<Schema>> {
  const text = (await readBody(request, limit)).toString()
  const parsed = schema.safeParse(parseJson(text))
  if (!parsed.success) throw invalidBody(parsed.error)
  return parsed.data
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw invalidJson()
  }
}
