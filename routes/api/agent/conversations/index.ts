import type { FastifyPluginAsync } from 'fastify'
import { Conversation, Message } from '../../../../src/schemas/conversation.ts'
import create from './create.ts'
import remove from './delete.ts'
import events from './events.ts'
import fork from './fork.ts'
import get from './get.ts'
import list from './list.ts'
import messages from './messages.ts'
import patch from './patch.ts'

/** /api/agent/conversations: threads and what they hold. */
const conversations: FastifyPluginAsync = async (app) => {
  for (const schema of [Conversation, Message]) app.addSchema(schema)
  // In the order of the documentation, where the removal comes last.
  for (const route of [create, list, messages, events, fork, get, patch, remove]) app.register(route)
}

export default conversations
