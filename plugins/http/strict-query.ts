import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'

const NoQuery = Type.Object({}, { additionalProperties: false })

/** Refuses unknown query parameters also on routes that declare no query parameters. */
const strictQuery: FastifyPluginAsync = async (app) => {
  app.addHook('onRoute', (route) => {
    if (route.config?.scope === undefined || route.schema?.querystring !== undefined) return
    route.schema = { ...route.schema, querystring: NoQuery }
  })
}

export default fp(strictQuery, { name: 'strict-query', fastify: '5.x' })
