import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { administer, createDatabase } from './postgres.ts'

/** The name of the database at an address. */
export const nameOf = (url: string) => new URL(url).pathname.slice(1)
/** Ends all other connections to the database. */
export const DISCONNECT = `select pg_terminate_backend(pid) from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid()`

/** A database and a role for the service. The role has no special rights. */
export async function createRole(t: { teardown(fn: () => Promise<void>): void }) {
  const admin = await createDatabase(t)
  const role = `app_${randomBytes(6).toString('hex')}`
  await administer(admin, `create role ${role} login password 'first'`)
  t.teardown(async () => {
    await administer(admin, `drop owned by ${role}; drop role ${role}`).catch(() => {})
  })
  await administer(admin, `grant all on all tables in schema public to ${role}`)
  const url = Object.assign(new URL(admin), { username: role, password: 'first' }).href
  return { admin, role, url, server: Object.assign(new URL(admin), { pathname: '/postgres' }).href }
}

/** Waits until a backend that was told to end has ended. */
export async function untilGone(server: string, database: string): Promise<void> {
  const client = new pg.Client({ connectionString: server })
  await client.connect()
  for (let left = 1; left > 0; ) {
    const { rows } = await client.query(
      'select count(*)::integer as left from pg_stat_activity where datname = $1',
      [database],
    )
    left = rows[0].left
  }
  await client.end()
}
