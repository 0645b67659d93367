import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import t from 'tap'
import { neverSent, openDatabase } from '../../src/stores/database.ts'
import { administer, createDatabase } from '../support/postgres.ts'
import { createRole, DISCONNECT, nameOf, untilGone } from '../support/roles.ts'

type Place = Awaited<ReturnType<typeof createRole>>

/** What keeps the service from its database, and what mends it; told by the SQLSTATE of the server. */
const LOCKED_OUT: Array<[string, (place: Place) => string, (place: Place) => string]> = [
  ['28000', ({ role }) => `alter role ${role} nologin`, ({ role }) => `alter role ${role} login`],
  [
    '28P01',
    ({ role }) => `alter role ${role} password 'second'`,
    ({ role }) => `alter role ${role} password 'first'`,
  ],
  [
    '53300',
    ({ role }) => `alter role ${role} connection limit 0`,
    ({ role }) => `alter role ${role} connection limit -1`,
  ],
  [
    '42501',
    ({ admin }) => `revoke connect on database ${nameOf(admin)} from public`,
    ({ admin }) => `grant connect on database ${nameOf(admin)} to public`,
  ],
  [
    '55000',
    ({ admin }) => `alter database ${nameOf(admin)} allow_connections false`,
    ({ admin }) => `alter database ${nameOf(admin)} allow_connections true`,
  ],
  [
    '3D000',
    ({ admin }) => `alter database ${nameOf(admin)} rename to ${nameOf(admin)}_x`,
    ({ admin }) => `alter database ${nameOf(admin)}_x rename to ${nameOf(admin)}`,
  ],
]

for (const [code, cut, mend] of LOCKED_OUT) {
  t.test(`a login that is refused with ${code} is an outage, until it is accepted again`, async (t) => {
    const place = await createRole(t)
    const lines: string[] = []
    const log = { warn: (_: object, message: string) => void lines.push(message) }
    const database = openDatabase({ url: place.url, poolMax: 4, log })
    t.teardown(() => database.close())
    const one = () => database.run((db) => sql`select 1`.execute(db))
    await one()
    await administer(place.admin, DISCONNECT)
    await untilGone(place.server, nameOf(place.admin))
    await administer(place.server, cut(place))
    const error = await rejection(one())
    t.match(error, { code: 'database_unavailable', details: { cause: { cause: { code } } } })
    t.ok(neverSent(error))
    t.match(lines.at(-1), /^the database does not accept connections: /)
    const before = lines.length
    for (const refusal of await Promise.all(Array.from({ length: 50 }, () => rejection(one()))))
      t.match(refusal, { code: 'database_unavailable' })
    t.ok(lines.length <= before + 1, 'many refusals are at most one line a second')
    await administer(place.server, mend(place))
    while ((await one().catch(() => undefined)) === undefined) await setTimeout(20)
    t.equal(lines.at(-1), 'the database can be used again')
  })
}

t.test('a server that cannot meet the options of the database URL counts as an outage', async (t) => {
  const url = await createDatabase(t)
  const database = openDatabase({ url: `${url}?sslmode=verify-full`, poolMax: 2, log: { warn() {} } })
  t.teardown(() => database.close())
  const error = await rejection(database.run((db) => sql`select 1`.execute(db)))
  t.match(error, { code: 'database_unavailable' })
  t.ok(neverSent(error))
})

t.test('a login that is refused harms nothing while other connections work', async (t) => {
  const place = await createRole(t)
  const database = openDatabase({ url: place.url, poolMax: 2, log: { warn() {} } })
  t.teardown(() => database.close())
  const one = () => database.run((db) => sql`select 1`.execute(db))
  await one()
  await administer(place.admin, `alter role ${place.role} nologin`)
  const sleeping = database.run((db) => sql`select pg_sleep(0.5)`.execute(db))
  await t.rejects(one(), { code: 'database_unavailable' }, 'there is no second connection')
  await sleeping
  await t.resolves(one(), 'the first one is used at once')
})

t.test('a connection that is slow to open costs no call while another one works', async (t) => {
  const target = new URL(await createDatabase(t))
  let isSlow = false
  const server = createServer((client) => {
    client.on('error', () => {})
    if (isSlow) return
    const upstream = connect(Number(target.port), target.hostname)
    upstream.on('error', () => {})
    client.pipe(upstream).pipe(client)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const url = Object.assign(new URL(target), { port: String((server.address() as AddressInfo).port) }).href
  const database = openDatabase({ url, poolMax: 2, log: { warn() {} } })
  t.teardown(() => database.close())
  const one = () => database.run((db) => sql`select 1`.execute(db))
  await one()
  isSlow = true
  const sleeping = database.run((db) => sql`select pg_sleep(0.5)`.execute(db))
  await t.resolves(one(), 'it has the first connection when the second one does not come')
  await sleeping
})

t.test('rights and tables that are missing are an outage of what needs them alone', async (t) => {
  const place = await createRole(t)
  const database = openDatabase({ url: place.url, poolMax: 2, log: { warn() {} } })
  t.teardown(() => database.close())
  await administer(place.admin, `revoke all on conversations from ${place.role}`)
  await administer(place.admin, 'alter table messages rename to messages_x')
  for (const table of ['conversations', 'messages']) {
    const read = database.run((db) => sql`select from ${sql.table(table)}`.execute(db))
    await t.rejects(read, { code: 'database_unavailable' }, table)
    await t.resolves(
      database.run((db) => sql`select from runs`.execute(db)),
      'nothing else is refused',
    )
  }
})

function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}
