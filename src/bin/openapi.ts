import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buildApp } from '../app.ts'
import { type AppConfig, loadConfig } from '../config/config.ts'

const FILE = join(import.meta.dirname, '..', '..', 'openapi.yaml')

/** The API description as YAML. Needs no database and no engine: nothing is asked of them. */
export async function generate(): Promise<string> {
  const app = buildApp(complete(loadConfig({ LOG_LEVEL: 'silent' })))
  try {
    await app.ready()
    return app.swagger({ yaml: true })
  } finally {
    await app.close()
  }
}

function complete(config: ReturnType<typeof loadConfig>): AppConfig {
  return {
    ...config,
    database: { ...config.database, url: 'postgres://127.0.0.1:1/none' },
    trigger: { ...config.trigger, secretKey: 'none', apiUrl: 'http://127.0.0.1:1' },
    auth: { ...config.auth, keys: { kind: 'secrets', secrets: ['-'.repeat(32)] } },
  }
}

if (import.meta.main) {
  const generated = await generate()
  if (!process.argv.includes('--check')) {
    await writeFile(FILE, generated)
  } else if (generated !== (await readFile(FILE, 'utf8').catch(() => ''))) {
    console.error('openapi.yaml differs from the routes: run "npm run openapi" and commit the result')
    process.exitCode = 1
  }
}
