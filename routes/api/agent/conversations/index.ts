import type { FastifyPluginAsync } from 'fastify'
import { Conversation, Message } from '../../../../src/schemas/conversation.ts'
import create from './create.ts'
import remove from './delete.ts'
import get from './get.ts'
import list from './list.ts'
import messages from './messages.ts'
import patch from './patch.ts'

/** /api/agent/conversations: threads and what they hold. */
const conversations: FastifyPluginAsync = async (app) => {
  for (const schema of [Conversation, Message]) app.addSchema(schema)
  for (const route of [create, list, get, patch, remove, messages]) app.register(route)
}

export default conversations
