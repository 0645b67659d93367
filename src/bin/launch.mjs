// Process: `node src/bin/launch.mjs <name> …` starts the process in src/bin/<name>.ts for the npm scripts. It is plain
// JavaScript that old versions of Node understand, so that an old Node and missing packages are answered with a
// sentence instead of a stack. It reads the file .env, or the one that ENV_FILE names, or none when ENV_FILE is empty.
// `node --env-file-if-exists=.env` would do the same, but old versions of Node refuse that option. Variables that are
// already set keep their value.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const NODE_MAJOR = 24

/** @param {string} message */
function refuse(message) {
  console.error(message)
  process.exit(1)
}

if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR) {
  refuse(
    `agent-chat-service needs Node ${NODE_MAJOR} or newer, and this is Node ${process.versions.node}. ` +
      '`npm ci` installs a Node 24 for the npm scripts on Linux (x64 and arm64, not with --omit=optional); ' +
      'elsewhere install Node 24 yourself: https://nodejs.org',
  )
}

// A process that finds compiled code starts in three quarters of the time. A folder that cannot be written is ignored.
const { enableCompileCache } = await import('node:module')
if (!process.env.NODE_COMPILE_CACHE)
  enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url)))

const [node, , name, ...rest] = process.argv
const file = new URL(`./${name}.ts`, import.meta.url)
process.argv = [node, file.pathname, ...rest]

const environment = process.env.ENV_FILE ?? '.env'
if (environment !== '' && existsSync(environment)) process.loadEnvFile(environment)

try {
  await import(file.href)
} catch (error) {
  const [, missing] = /Cannot find package '([^']+)'/.exec(String(error?.message)) ?? []
  if (error?.code !== 'ERR_MODULE_NOT_FOUND' || missing === undefined) throw error
  refuse(`The package ${missing} is not installed. Run \`npm ci\` first.`)
}
