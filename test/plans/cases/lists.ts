import { conversationStore } from '../../../src/stores/conversations.ts'
import type { Database } from '../../../src/stores/database.ts'
import { messageStore } from '../../../src/stores/messages.ts'
import type { RunFilter } from '../../../src/stores/run-list.ts'
import { runStore } from '../../../src/stores/runs.ts'
import { HEAVY_USER, LONG_CONVERSATION } from '../fill.ts'
import { type Case, PAGE, QUICK, type Sample, SEARCH } from '../sample.ts'

/** Every combination of filters, for a user with very many runs, and for one with few. */
export function lists(database: Database, heavy: Sample, small: Sample): Case[] {
  const runs = runStore(database)
  const conversations = conversationStore(database)
  const messages = messageStore(database)
  const cases: Case[] = []
  const users: Array<[string, Sample]> = [
    [HEAVY_USER, heavy],
    ['user7', small],
  ]
  for (const [user, sample] of users) {
    const filters: Record<string, Array<[string, Partial<RunFilter>]>> = {
      conversation: [['conversationId', { conversationId: sample.conversationId }]],
      status: [
        ['status=completed', { status: ['completed'] }],
        ['status=cancelled', { status: ['cancelled'] }],
        ['status=queued,running,failed', { status: ['queued', 'running', 'failed'] }],
      ],
      metadata: [
        ['app=web', { metadata: { app: 'web' } }],
        ['app=none', { metadata: { app: 'none' } }],
        ['app=web, order=1000', { metadata: { app: 'web', order: '1000' } }],
      ],
      runs: [['runId', { runIds: sample.runIds }]],
    }
    const byAgent: Array<[string, Partial<RunFilter>]> = [
      ['agent=support', { agent: 'support' }],
      ['agent=default', { agent: 'default' }],
    ]
    const alone = Object.values(filters).map(([first]) => [first as [string, Partial<RunFilter>]])
    const wanted = [
      ...combinations(Object.values(filters)),
      ...alone.flatMap((kind) =>
        combinations([byAgent, kind]).filter(([, { agent }]) => agent !== undefined),
      ),
    ]
    for (const [names, filter] of wanted)
      for (const [page, before] of [
        ['', {}],
        [', deep', { before: sample.rowIds.at(-1) as string }],
      ] as const)
        cases.push({
          name: `runs of ${user}: ${names || 'all'}${page}`,
          // A walk along one index; else the index names candidates.
          buffers:
            Object.keys(filter).length > 1 ||
            Object.keys(filter.metadata ?? {}).length > 1 ||
            filter.agent === 'default'
              ? SEARCH
              : QUICK,
          work: () => runs.list(user, { limit: PAGE, ...filter, ...before }),
        })
    const before = {
      before: { lastActivityAt: new Date(Date.now() - 20 * 86_400_000), id: sample.conversationId },
    }
    for (const [page, cursor] of [
      ['', {}],
      [', deep', before],
      [': agent=support', { agent: 'support' }],
      [': agent=none, deep', { agent: 'none', ...before }],
    ] as const)
      cases.push({
        name: `conversations of ${user}${page}`,
        buffers: 'agent' in cursor ? SEARCH : QUICK,
        work: () => conversations.list(user, { limit: PAGE, ...cursor }),
      })
    for (const order of ['asc', 'desc'] as const)
      for (const [page, cursor] of [
        ['', {}],
        [', deep', { after: { position: 3, seq: 0 } }],
      ] as const)
        cases.push({
          name: `messages of ${user}, ${order}${page}`,
          buffers: QUICK,
          work: () => messages.list(user, sample.conversationId, { limit: PAGE, order, ...cursor }),
        })
  }
  for (const order of ['asc', 'desc'] as const)
    for (const list of ['list', 'listAll'] as const)
      cases.push({
        name: `messages of a long conversation, ${order}, deep${list === 'list' ? '' : ', with superseded ones'}`,
        buffers: list === 'list' ? QUICK : 4 * QUICK,
        work: () =>
          messages[list]('patient', LONG_CONVERSATION, {
            limit: PAGE,
            order,
            after: { position: 10_000, seq: 0, id: '00000000-0000-7000-8000-000000000000' },
          }),
      })
  return cases
}

/** One or none of each kind, in every combination. */
function combinations(
  kinds: Array<Array<[string, Partial<RunFilter>]>>,
): Array<[string, Partial<RunFilter>]> {
  const [first, ...rest] = kinds
  if (first === undefined) return [['', {}]]
  const others = combinations(rest)
  return [['', {}] as [string, Partial<RunFilter>], ...first].flatMap(([name, filter]) =>
    others.map(([more, filters]): [string, Partial<RunFilter>] => [
      [name, more].filter(Boolean).join(' & '),
      { ...filter, ...filters },
    ]),
  )
}
