import { fileURLToPath } from 'node:url'
import { configure } from '@trigger.dev/sdk'
import { openProcess } from '../process.ts'

export interface Target {
  url: string
  secretKey: string
  stop(): Promise<void>
}

/** The server that the cases run against: the given one, else a local engine with three children. */
export async function openTarget(given?: { url: string; secretKey: string }): Promise<Target> {
  const target: Target = given
    ? { ...given, stop: async () => undefined }
    : await openProcess({
        taskModules: [fileURLToPath(new URL('../tasks/basic.ts', import.meta.url))],
        secretKey: 'tr_dev_conformance',
        maxChildren: 3,
      })
  configure({ baseURL: target.url, accessToken: target.secretKey })
  return target
}
