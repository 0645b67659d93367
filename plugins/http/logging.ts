import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { AppConfig } from '../../src/config/config.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Fields of the request's log line beside method, path and status. */
    noted: Record<string, unknown> | undefined
  }
}

/** The fields of bodies by which an operator finds log lines, and the fields that are logged only with LOG_CONTENT. */
const IDS = ['runId', 'conversationId']
const CONTENTS = ['message', 'text', 'messages', 'history', 'title']

/** Notes the run and the conversation of an answer for the log line, and its texts only when LOG_CONTENT allows it. */
const logging: FastifyPluginAsync<{ config: Pick<AppConfig, 'logContent'> }> = async (app, { config }) => {
  const answered = config.logContent ? [...IDS, ...CONTENTS] : IDS
  app.decorateRequest('noted', undefined)
  app.addHook('preSerialization', (request, _reply, payload, done) => {
    request.noted = { ...request.noted, ...pick(payload, answered) }
    done(null, payload)
  })
  if (!config.logContent) return
  app.addHook('preHandler', async (request) => {
    request.noted = { asked: pick(request.body, CONTENTS) }
  })
}

function pick(body: unknown, names: string[]): Record<string, unknown> {
  if (typeof body !== 'object' || body === null) return {}
  const fields: Record<string, unknown> = {}
  for (const name of names) {
    const value = Object.hasOwn(body, name) ? body[name as keyof typeof body] : undefined
    if (value !== null && value !== undefined) fields[name] = value
  }
  return fields
}

export default fp(logging, { name: 'logging', fastify: '5.x' })
