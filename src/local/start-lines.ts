import { resolve } from 'node:path'
import type { Config } from '../config.ts'
import { DEFAULT_DATA_DIR } from '../settings.ts'

/** What runs embedded and where. */
export interface Part {
  name: string
  where: string
}

/** What a developer reads after the start: addresses, embedded parts, which model answers, and what to try first. */
export function startLines(origin: string, config: Config, parts: Part[]): string {
  const address = origin.replace('[::1]', 'localhost').replace('127.0.0.1', 'localhost')
  const lines = [
    `agent-chat-service  ${address}`,
    `API description     ${address}/docs`,
    ...parts.map(({ name, where }) => `${name.padEnd(20)}${where}`),
    '',
    'Say something:',
    `  curl -s ${address}/api/agent/chat -H "authorization: Bearer ${tokenFor('alice', config)}" \\`,
    `    -H 'content-type: application/json' -d '{"message":"What is 17 * 23?"}'`,
  ]
  return `\n${lines.map((line) => `  ${line}`).join('\n')}\n`
}

/** Shell that makes a token which this service accepts, for a terminal that does not know its environment. */
function tokenFor(sub: string, { auth, localDataDir }: Config): string {
  if (auth.keys?.kind === 'jwks') return '$TOKEN'
  const isElsewhere = auth.keys === undefined && localDataDir !== DEFAULT_DATA_DIR
  const folder = `'${resolve(localDataDir).replaceAll("'", "'\\''")}'`
  return `$(${isElsewhere ? `LOCAL_DATA_DIR=${folder} ` : ''}npm run -s token -- --sub ${sub})`
}
