import pg from 'pg'
import { v7 as uuid } from 'uuid'

/** The ids of the rows that the cases read, in a migrated database. */
export interface Rows {
  /** A completed run whose answer is one sentence. */
  small: string
  /** A completed run with 77 kB of text and tool results. */
  large: string
  unfinished: string
  /** A conversation of 50 ended turns. */
  conversation: string
  /** Conversations of 50 ended turns. */
  long: string[]
}

export const USER = 'bench'
const SMALL = [{ type: 'text', text: '17 * 23 = 391.', state: 'done' }]
const LARGE = Array.from({ length: 12 }, (_, n) => [
  { type: 'step-start' },
  {
    type: 'tool-search',
    toolCallId: `call_${n}`,
    state: 'output-available',
    input: { query: `number ${n}` },
    output: {
      rows: Array.from({ length: 30 }, (_row, at) => ({ id: at, title: 'A row of a table '.repeat(3) })),
    },
  },
  { type: 'text', text: 'What a person would read about this. '.repeat(20), state: 'done' },
]).flat()

/** Writes the rows of all cases. */
export async function writeRows(databaseUrl: string): Promise<Rows> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()

  async function turn(conversation: string, position: number, runId: string, parts: object[] | null) {
    const [turnId, id] = [uuid(), uuid()]
    const message = {
      id: uuid(),
      role: 'user',
      text: 'What is 17 * 23?',
      parts: [{ type: 'text', text: 'What is 17 * 23?' }],
    }
    const output = parts === null ? null : { id: uuid(), role: 'assistant', parts }
    const text = (parts ?? []).map((part) => ('text' in part ? part.text : '')).join('')
    await client.query(
      `insert into turns (id, conversation_id, user_id, state, run_id, position, input)
       values ($1, $2, $3, 'started', $4, $5, $6)`,
      [
        turnId,
        conversation,
        USER,
        runId,
        position,
        { message, newConversation: position === 1, assistantMessageId: id },
      ],
    )
    await client.query(
      `insert into runs (id, turn_id, run_id, user_id, conversation_id, position, status, output, usage, facts, check_at,
         deadline_at, started_at, finished_at, frame_count)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now() + interval '1 day', now(), $12, 5)`,
      [
        ...[id, turnId, runId, USER, conversation, position, parts === null ? 'running' : 'completed'],
        output === null ? null : JSON.stringify(output),
        ...[USAGE, FACTS].map((value) => (output === null ? null : JSON.stringify(value))),
        parts === null ? new Date(Date.now() + 3_600_000) : null,
        parts === null ? null : new Date(),
      ],
    )
    await client.query(
      `insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts)
       values ($1, $2, $3, $4, 0, 'user', $5, $6)`,
      [message.id, conversation, turnId, position, message.text, JSON.stringify(message.parts)],
    )
    if (output !== null)
      await client.query(
        `insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts)
         values ($1, $2, $3, $4, 1, 'assistant', $5, $6)`,
        [output.id, conversation, turnId, position, text, JSON.stringify(parts)],
      )
    return runId
  }
  async function conversation(turns: number): Promise<string> {
    const id = uuid()
    await client.query(
      `insert into conversations (id, user_id, title, next_position) values ($1, $2, 'Bench', $3)`,
      [id, USER, turns + 1],
    )
    return id
  }

  /** Copies of a conversation, with its turns, runs and messages. */
  async function copies(original: string): Promise<string[]> {
    const ids = Array.from({ length: LONG }, () => uuid())
    for (const statement of COPY) await client.query(statement, [original, ids])
    return ids
  }

  try {
    const long = await conversation(50)
    for (let position = 1; position <= 50; position++)
      await turn(long, position, `run_turn${position}`, SMALL)
    return {
      small: await turn(await conversation(1), 1, 'run_small', SMALL),
      large: await turn(await conversation(1), 1, 'run_large', LARGE),
      unfinished: await turn(await conversation(1), 1, 'run_unfinished', null),
      conversation: long,
      long: await copies(long),
    }
  } finally {
    await client.query('analyze')
    await client.end()
  }
}

/** Makes conversations of fifty turns. In every round each of them gets one more turn. */
export const LONG = 500

/** The id of a row of a copy. It is the same in every run of the benchmark. */
const copied = (id: string) => `md5(copy::text || ${id}::text)::uuid`
const COPY = [
  `insert into conversations (id, user_id, title, next_position)
   select copy, user_id, title, next_position from conversations, unnest($2::uuid[]) copy where id = $1`,
  `insert into turns (id, conversation_id, user_id, state, run_id, position, input)
   select ${copied('id')}, copy, user_id, state, run_id || copy, position, input
   from turns, unnest($2::uuid[]) copy where conversation_id = $1`,
  `insert into runs (id, turn_id, run_id, user_id, conversation_id, position, status, output, usage, facts, deadline_at,
     started_at, finished_at, frame_count)
   select ${copied('id')}, ${copied('turn_id')}, run_id || copy, user_id, copy, position, status, output, usage, facts,
     deadline_at, started_at, finished_at, frame_count
   from runs, unnest($2::uuid[]) copy where conversation_id = $1`,
  `insert into messages (id, conversation_id, turn_id, position, seq, role, text, parts)
   select ${copied('id')}, copy, ${copied('turn_id')}, position, seq, role, text, parts
   from messages, unnest($2::uuid[]) copy where conversation_id = $1`,
]

/** Ends all runs of the user but the unfinished run of the cases, as an engine would have done meanwhile. */
export async function endRuns(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  await client.query(
    `update runs set status = 'completed', finished_at = now(), check_at = null
     where user_id = $1 and status in ('queued', 'running') and run_id <> 'run_unfinished'`,
    [USER],
  )
  await client.end()
}

const USAGE = { inputTokens: 61, outputTokens: 24, totalTokens: 85 }
const FACTS = {
  finishReason: 'stop',
  steps: 1,
  model: 'offline',
  timings: { queuedMs: 20, firstTokenMs: 30, durationMs: 90 },
}
