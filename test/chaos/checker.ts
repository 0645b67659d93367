import type pg from 'pg'
import type { Accepted, CallerLog } from './callers.ts'

/** Something that must never be, and where. */
export interface Violation {
  rule: string
  what: string
}

/** When processes that execute runs were killed: only those runs may have failed. */
export interface Kill {
  at: number
  /** After the death, runs of the dead engine are found lost this much later. */
  graceMs: number
}

interface Row {
  id: string
  run_id: string | null
  conversation_id: string | null
  status: string
  error_code: string | null
  idempotency_key: string | null
  created_at: Date
  finished_at: Date | null
}

interface Message {
  conversation_id: string
  run_id: string | null
  position: number
  seq: number
  role: string
  text: string
}

const TERMINAL = new Set(['completed', 'failed', 'cancelled'])
const KILLED = new Set(['crashed', 'worker_lost', 'system_failure', 'task_failed'])

/**
 * Holds the database to what the callers were told. Every accepted start has exactly one run with one end and
 * one message in its place; nothing else is there.
 */
export async function check(client: pg.Client, log: CallerLog, kills: Kill[]): Promise<Violation[]> {
  const violations: Violation[] = []
  const report = (rule: string, what: string) => violations.push({ rule, what })
  const { rows: runs } = await client.query<Row>('select * from runs')
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
    if (run === undefined) report('one run', `${name} has no row`)
    if ((byKey.get(start.key)?.length ?? 0) !== 1)
      report('one run', `${name} has ${byKey.get(start.key)?.length ?? 0} rows with its key`)
    if (run === undefined) continue
    if (!TERMINAL.has(run.status)) report('ended', `${name} is ${run.status}`)
    if (run.status === 'cancelled') report('completed', `${name} was cancelled`)
    if (run.status === 'failed' && !excused(run, kills))
      report('completed', `${name} failed: ${run.error_code}`)
    if (start.conversationId !== undefined && run.conversation_id !== start.conversationId)
      report('one conversation', `${name} is in ${run.conversation_id}`)
    if (run.conversation_id === null) continue
    const said = (byConversation.get(run.conversation_id) ?? []).filter((one) => one.run_id === run.id)
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
      report('nothing else', `nobody was told of ${run.run_id}`)
  }
  for (const message of messages)
    if (message.run_id === null || !known.has(message.run_id))
      report('nothing else', `a message of no run: ${message.text}`)
  for (const { id } of conversations)
    if (!byConversation.has(id)) report('nothing else', `conversation ${id} is empty`)

  const told = log.accepted.filter((start) => start.conversationId !== undefined)
  for (const [conversationId, starts] of Map.groupBy(told, (start) => start.conversationId))
    violations.push(...checkOrder(starts, byConversation.get(conversationId ?? '') ?? [], byRunId, kills))
  return violations
}

/** Messages stand in the order in which they were accepted, and each answer knows the message before it. */
function checkOrder(
  starts: Accepted[],
  messages: Message[],
  byRunId: Map<string | null, Row[]>,
  kills: Kill[],
): Violation[] {
  const violations: Violation[] = []
  const expected = starts.sort((a, b) => a.turn - b.turn).map(({ message }) => message)
  const users = messages.filter(({ role }) => role === 'user').map(({ text }) => text)
  if (JSON.stringify(users) !== JSON.stringify(expected))
    violations.push({
      rule: 'order',
      what: `${JSON.stringify(users)} instead of ${JSON.stringify(expected)}`,
    })
  starts.forEach((start, turn) => {
    const run = byRunId.get(start.runId)?.[0]
    const before = starts[turn - 1]
    if (before === undefined || run?.status !== 'completed') return
    const answer = messages.find(({ role, run_id }) => role === 'assistant' && run_id === run.id)?.text ?? ''
    // An engine that has forgotten its runs cannot tell a worker about those ahead.
    if (!answer.includes(before.message.slice(0, 24)) && !during(run, kills, { grace: false }))
      violations.push({ rule: 'history', what: `${start.message} was answered: ${answer}` })
  })
  return violations
}

const excused = (run: Row, kills: Kill[]): boolean =>
  run.error_code !== null && KILLED.has(run.error_code) && during(run, kills)

const during = (run: Row, kills: Kill[], { grace } = { grace: true }): boolean =>
  kills.some(({ at, graceMs }) => {
    const finishedAt = run.finished_at?.getTime() ?? Number.POSITIVE_INFINITY
    return run.created_at.getTime() - 15_000 < at && at < finishedAt + (grace ? graceMs : 0)
  })
