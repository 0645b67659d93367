import { migrate, migrateDown } from './stores/migrations.ts'

const url = process.env.DATABASE_URL
if (url === undefined || url === '') {
  console.error('npm run migrate needs DATABASE_URL. The embedded database is migrated by npm start itself.')
  process.exit(1)
}
try {
  const down = process.argv.includes('--down')
  const names = await (down ? migrateDown(url) : migrate(url))
  console.log(
    names.length === 0
      ? 'Nothing to do.'
      : names.map((name) => `${down ? 'reverted' : 'applied'} ${name}`).join('\n'),
  )
} catch (error) {
  console.error(`Migration failed: ${error instanceof Error ? error.message : String(error)}`)
  process.exit(1)
}
