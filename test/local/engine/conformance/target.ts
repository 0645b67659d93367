import { fileURLToPath } from 'node:url'
import { configure } from '@trigger.dev/sdk'
import type { EngineOptions } from '../../../../src/local/engine/engine.ts'
import { openProcess } from '../process.ts'

export interface Target {
  url: string
  secretKey: string
  stop(): Promise<void>
}

/** The server that the cases run against: the given one, else a local engine with three children. */
export async function openTarget(
  given?: { url: string; secretKey: string },
  options: Partial<EngineOptions> = {},
): Promise<Target> {
  const target: Target = given
    ? { ...given, stop: async () => undefined }
    : await openProcess({
        taskModules: [fileURLToPath(new URL('../tasks/basic.ts', import.meta.url))],
        secretKey: 'tr_dev_conformance',
        maxChildren: 3,
        ...options,
      })
  configure({ baseURL: target.url, accessToken: target.secretKey })
  return target
}
