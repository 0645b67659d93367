import pg from 'pg'

/** The statements of both baselines, on the tables of the service. */
export const openPool = () => new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })

export const POLL = {
  name: 'poll',
  text: `select run_id, status, conversation_id, created_at, started_at, finished_at, metadata, usage, output,
    (select input->'message' from turns where turns.id = runs.turn_id) as message
    from runs where run_id = $1 and user_id = $2`,
}

export interface PollRow {
  run_id: string
  status: string
  conversation_id: string
  created_at: Date
  started_at: Date | null
  finished_at: Date | null
  metadata: object
  usage: object | null
  output: { id: string; parts: Part[] } | null
  message: { parts: object[] } | null
}

interface Part {
  type: string
  text?: string
  toolCallId?: string
  input?: unknown
  output?: unknown
}

/** The answer to a poll, with the fields of the service's answer and the parts as they are stored. */
export const pollView = ({ output, message, ...run }: PollRow) => ({
  runId: run.run_id,
  status: run.status,
  conversationId: run.conversation_id,
  createdAt: run.created_at,
  startedAt: run.started_at ?? undefined,
  finishedAt: run.finished_at ?? undefined,
  metadata: run.metadata,
  usage: run.usage ?? undefined,
  ...(output === null
    ? {}
    : {
        messageId: output.id,
        text: output.parts.map(({ text = '' }) => text).join(''),
        messages: [
          { role: 'user', content: message?.parts ?? [] },
          { role: 'assistant', content: output.parts },
        ],
        toolCalls: output.parts
          .filter(({ type }) => type.startsWith('tool-'))
          .map(({ type, toolCallId, input, output: result }) => ({
            toolCallId,
            toolName: type.slice(5),
            args: input,
            result,
          })),
      }),
})

const text = { type: 'string' }
const open = { type: 'object', additionalProperties: true }

/** The schema of the answer for fast-json-stringify. */
export const RUN = {
  type: 'object',
  properties: {
    runId: text,
    status: text,
    conversationId: text,
    createdAt: { type: 'string', format: 'date-time' },
    startedAt: { type: 'string', format: 'date-time' },
    finishedAt: { type: 'string', format: 'date-time' },
    metadata: open,
    usage: open,
    messageId: text,
    text,
    messages: {
      type: 'array',
      items: { type: 'object', properties: { role: text, content: { type: 'array', items: open } } },
    },
    toolCalls: {
      type: 'array',
      items: { type: 'object', properties: { toolCallId: text, toolName: text, args: open, result: open } },
    },
  },
}

export const START = {
  name: 'start',
  text: `with conversation as (
      insert into conversations (id, user_id, title, next_position) values ($1, $2, left($3, 100), 2)),
    turn as (
      insert into turns (id, conversation_id, user_id, state, position, input)
      values ($4, $1, $2, 'dispatching', 1, jsonb_build_object('message', $5::jsonb)))
    insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts)
    values ($6, $1, $4, 1, 0, 'user', $3, $5::jsonb->'parts')`,
}

export const RECORD = {
  name: 'record',
  text: `with run as (
      insert into runs (id, turn_id, run_id, user_id, conversation_id, position, status, deadline_at, check_at)
      select $1, id, $3, user_id, conversation_id, position, 'queued', now() + interval '1 hour', now() + interval '1 hour'
      from turns where id = $2)
    update turns set state = 'started', run_id = $3 where id = $2`,
}

export const startValues = (
  ids: { turn: string; conversation: string; message: string },
  user: string,
  message: string,
) => {
  const stored = { id: ids.message, role: 'user', text: message, parts: [{ type: 'text', text: message }] }
  return [ids.conversation, user, message, ids.turn, JSON.stringify(stored), ids.message]
}

/** The subject of a token. The signature is not verified. */
export const userOf = (authorization = ''): string =>
  JSON.parse(Buffer.from(authorization.split('.')[1] ?? '', 'base64url').toString()).sub
