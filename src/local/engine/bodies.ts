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
 * The pieces of a body. When the reader stops early, the connection stays open, so that the client receives the
 * answer that says why. (The stream itself would close the connection.)
 */
export const withoutDestroying = <T>(request: FastifyRequest): AsyncIterable<T> =>
  request.raw.iterator({ destroyOnReturn: false })

/** Reads a JSON body and validates it. Like a real server, it ignores the content type. */
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
