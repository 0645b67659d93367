import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { AppConfig } from '../src/config.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** What the line about the request says beyond method, path and status. */
    noted: Record<string, unknown> | undefined
  }
}

/** The fields of bodies that lines about requests are found by, and those that only LOG_CONTENT lets in. */
const IDS = ['runId', 'conversationId']
const CONTENTS = ['message', 'text', 'messages', 'history', 'title']

/** Notes which run and conversation an answer is about; what was said only when LOG_CONTENT allows it. */
const logging: FastifyPluginAsync<{ config: Pick<AppConfig, 'logContent'> }> = async (app, { config }) => {
  const answered = config.logContent ? [...IDS, ...CONTENTS] : IDS
  app.decorateRequest('noted', undefined)
  app.addHook('preSerialization', async (request, _reply, payload) => {
    request.noted = { ...request.noted, ...pick(payload, answered) }
  })
  if (!config.logContent) return
  app.addHook('preHandler', async (request) => {
    request.noted = { asked: pick(request.body, CONTENTS) }
  })
}

function pick(body: unknown, names: string[]): Record<string, unknown> {
  if (typeof body !== 'object' || body === null) return {}
  return Object.fromEntries(
    Object.entries(body).filter(
      ([name, value]) => names.includes(name) && value !== null && value !== undefined,
    ),
  )
}

export default fp(logging, { name: 'logging', fastify: '5.x' })
