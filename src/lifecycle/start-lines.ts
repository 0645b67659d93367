import { resolve } from 'node:path'
import type { Config } from '../config/config.ts'
import { DEFAULT_DATA_DIR } from '../config/settings.ts'

/** An embedded part, and where it runs. */
export interface Part {
  name: string
  where: string
}

/** The lines that a developer reads after the start: addresses, embedded parts, the model, and a first request. */
export function startLines(origin: string, config: Config, parts: Part[]): string {
  const address = origin.replace('[::1]', 'localhost').replace('127.0.0.1', 'localhost')
  const lines = [
    `agent-chat-service  ${address}`,
    `API description     ${address}/docs`,
    ...(config.playground ? [`playground          ${address}/playground`] : []),
    ...parts.map(({ name, where }) => `${name.padEnd(20)}${where}`),
    '',
    'Say something:',
    `  curl -s ${address}/api/agent/chat -H "authorization: Bearer ${tokenFor('alice', config)}" \\`,
    `    -H 'content-type: application/json' -d '{"message":"What is 17 * 23?"}'`,
  ]
  return `\n${lines.map((line) => `  ${line}`).join('\n')}\n`
}

/** A shell command that makes a token for this service, in a terminal without the environment of the service. */
function tokenFor(sub: string, { auth, localDataDir }: Config): string {
  if (auth.keys?.kind === 'jwks') return '$TOKEN'
  const isElsewhere = auth.keys === undefined && localDataDir !== DEFAULT_DATA_DIR
  const folder = `'${resolve(localDataDir).replaceAll("'", "'\\''")}'`
  return `$(${isElsewhere ? `LOCAL_DATA_DIR=${folder} ` : ''}npm run -s token -- --sub ${sub})`
}
