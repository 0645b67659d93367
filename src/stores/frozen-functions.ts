import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Kysely, sql } from 'kysely'

const FOLDER = join(import.meta.dirname, '../../migrations/sql')

/**
 * Creates functions as they were at a migration, from the frozen copies in `migrations/sql/<migration>/`.
 * @param names all of the migration's functions when absent
 */
export async function createFunctions(
  db: Kysely<unknown>,
  migration: string,
  names?: string[],
): Promise<void> {
  await sql`set local check_function_bodies = off`.execute(db)
  const folder = join(FOLDER, migration)
  const files = names?.map((name) => `${name}.sql`) ?? readdirSync(folder).sort()
  for (const file of files) await sql.raw(readFileSync(join(folder, file), 'utf8')).execute(db)
}
