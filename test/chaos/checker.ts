import type pg from 'pg'
import type { Accepted, CallerLog } from './callers.ts'
import { type EngineRun, isLive, startsOf } from './engine-runs.ts'
import { isExcused, isForgotten, isLost, type Kill } from './kills.ts'

/** A broken rule, and where it was broken. */
export interface Violation {
  rule: string
  what: string
  conversationId?: string | undefined
}

/** What the database is compared with. */
export interface Evidence {
  log: CallerLog
  kills: Kill[]
  /** All runs that the engine has made since it was started last. */
  engine: EngineRun[]
}

/** A turn, with its run if it has one. */
interface Row {
  id: string
  run_id: string | null
  conversation_id: string | null
  status: string
  error_code: string | null
  idempotency_key: string | null
}

/** The stored end of a run, which is compared with the end at the engine. */
export type Ended = Pick<Row, 'run_id' | 'status' | 'error_code'>

interface Message {
  conversation_id: string
  turn_id: string | null
  role: string
  text: string
}

type Report = (rule: string, what: string, conversationId?: string) => void

const TERMINAL = new Set(['completed', 'failed', 'cancelled'])

/**
 * Compares the database with the answers that the callers got and with the runs of the engine. Every accepted start
 * must have exactly one run with one end and one message at its place. The database must hold no other run or message.
 */
export async function check(client: pg.Client, { log, kills, engine }: Evidence): Promise<Violation[]> {
  const violations: Violation[] = []
  const report: Report = (rule, what, conversationId) => violations.push({ rule, what, conversationId })
  const { rows: runs } = await client.query<Row>(
    `select turns.id, runs.run_id, turns.conversation_id, coalesce(runs.status, turns.state) as status, runs.error_code,
       turns.idempotency_key
     from turns left join runs on runs.turn_id = turns.id`,
  )
  const { rows: messages } = await client.query<Message>(
    'select * from messages order by conversation_id, position, seq',
  )
  const { rows: conversations } = await client.query<{ id: string }>('select id from conversations')
  const byRunId = Map.groupBy(runs, (run) => run.run_id)
  const byKey = Map.groupBy(runs, (run) => run.idempotency_key)
  const byConversation = Map.groupBy(messages, (message) => message.conversation_id)
  const known = new Set(runs.map((run) => run.id))

  for (const contradiction of log.contradictions) report('one answer', contradiction)

  for (const start of log.accepted) {
    const name = `${start.message} (${start.runId})`
    const run = byRunId.get(start.runId)?.[0]
    if (run === undefined && isLost(start, kills)) continue
    if (run === undefined) report('one run', `${name} has no row`)
    if ((byKey.get(start.key)?.length ?? 0) !== 1)
      report('one run', `${name} has ${byKey.get(start.key)?.length ?? 0} rows with its key`)
    if (run === undefined) continue
    if (!TERMINAL.has(run.status)) report('ended', `${name} is ${run.status}`)
    if (run.status === 'cancelled') report('completed', `${name} was cancelled`)
    if (run.status === 'failed' && !isExcused(run, kills))
      report('completed', `${name} failed: ${run.error_code}`)
    if (start.conversationId !== undefined && run.conversation_id !== start.conversationId)
      report('one conversation', `${name} is in ${run.conversation_id}`)
    if (run.conversation_id === null) continue
    const said = (byConversation.get(run.conversation_id) ?? []).filter((one) => one.turn_id === run.id)
    const users = said.filter(({ role, text }) => role === 'user' && text === start.message)
    const answers = said.filter(({ role }) => role === 'assistant')
    if (users.length !== 1) report('one message', `${name} has ${users.length} messages`)
    if (answers.length > 1) report('one message', `${name} has ${answers.length} answers`)
    if (run.status === 'completed' && answers.length !== 1) report('one message', `${name} has no answer`)
  }

  const accepted = new Set(log.accepted.map(({ runId }) => runId))
  for (const run of runs) {
    if (!TERMINAL.has(run.status)) report('ended', `turn ${run.id} is ${run.status}`)
    if (run.run_id !== null && !accepted.has(run.run_id))
      report('nothing else', `no caller was told of run ${run.run_id}`)
  }
  for (const message of messages)
    if (message.turn_id === null || !known.has(message.turn_id))
      report('nothing else', `a message belongs to no turn: ${message.text}`)
  for (const { id } of conversations)
    if (!byConversation.has(id)) report('nothing else', `conversation ${id} is empty`)

  checkEngine(engine, runs, report)
  // Of a killed engine only ended runs are compared, because an instance may have been about to cancel the others.
  for (const kill of kills)
    if (kill.of === 'engine')
      checkExecutions(
        kill.had.filter((run) => !isLive(run)),
        report,
      )
  const told = log.accepted.filter((start) => start.conversationId !== undefined)
  for (const [conversationId, starts] of Map.groupBy(told, (start) => start.conversationId))
    checkOrder(starts, byConversation.get(conversationId ?? '') ?? [], byRunId, kills, report)
  return violations
}

/** The engine must have run every start once. The row of that run must have the end that the engine has. */
export function checkEngine(engine: EngineRun[], rows: Ended[], report: Report): void {
  const byRunId = new Map(rows.map((row) => [row.run_id, row]))
  const wanted = engine.filter(({ status }) => status !== 'CANCELED')
  for (const run of engine.filter(isLive)) report('ended', `${run.id} is ${run.status} in the engine`)
  checkExecutions(engine, report)
  for (const run of wanted)
    if (!byRunId.has(run.id))
      report('one execution', `run ${run.id} is ${run.status} in the engine and has no row`)
  for (const { id, status } of engine.filter((run) => !isLive(run))) {
    const row = byRunId.get(id)
    // The service ends a run at its deadline as failed, also while it cannot reach the engine.
    if (row === undefined || row.error_code === 'timed_out') continue
    if (row.status !== endOf(status))
      report('same end', `${id} is ${status} in the engine and ${row.status} in the database`)
  }
}

function checkExecutions(engine: EngineRun[], report: Report): void {
  const byStart = new Map<string, string[]>()
  for (const run of engine.filter(({ status }) => status !== 'CANCELED'))
    for (const start of startsOf(run)) byStart.set(start, [...(byStart.get(start) ?? []), run.id])
  for (const [start, runIds] of byStart)
    if (runIds.length > 1) report('one execution', `${start} has ${runIds.join(' and ')} in the engine`)
}

const endOf = (status: string): string =>
  status === 'COMPLETED' ? 'completed' : status === 'CANCELED' ? 'cancelled' : 'failed'

/**
 * Messages must stand in the order of their turns. Messages that were sent at the same time may stand in any order. Each
 * answer must know the messages before it.
 */
function checkOrder(
  starts: Accepted[],
  messages: Message[],
  byRunId: Map<string | null, Row[]>,
  kills: Kill[],
  report: Report,
): void {
  const users = messages.filter(({ role }) => role === 'user').map(({ text }) => text)
  const byMessage = new Map(starts.map((start) => [start.message, start]))
  const turns = users.map((text) => byMessage.get(text)?.turn ?? Number.NaN)
  const sent = starts.map(({ message }) => message)
  const inOrder = turns.every((turn, n) => n === 0 || turn >= (turns[n - 1] ?? Number.NaN))
  if (!inOrder || JSON.stringify(users.toSorted()) !== JSON.stringify(sent.toSorted()))
    report('order', `${JSON.stringify(users)} for ${JSON.stringify(sent)}`, starts[0]?.conversationId)

  for (const start of starts) {
    const run = byRunId.get(start.runId)?.[0]
    const before = users.slice(0, Math.max(0, users.indexOf(start.message)))
    const asked = /my first message/.test(start.message) ? before[0] : before.at(-1)
    if (asked === undefined || run?.status !== 'completed') continue
    const answer =
      messages.find(({ role, turn_id }) => role === 'assistant' && turn_id === run.id)?.text ?? ''
    const ahead = byRunId.get(byMessage.get(asked)?.runId ?? '')?.[0]
    if (ahead !== undefined && isForgotten(ahead, start, kills)) continue
    if (!answer.includes(nameOf(asked)))
      report(
        'history',
        `${start.message} came after "${asked}" and was answered: ${answer}`,
        start.conversationId,
      )
  }
}

/** The first sentence of a message, which no other message has. */
const nameOf = (message: string): string => message.slice(0, message.indexOf('.') + 1)
