import { defineConfig } from '@trigger.dev/sdk'

/** For serving the test tasks to a real server with the stock command line; see conformance/README.md. */
export default defineConfig({
  project: process.env.TRIGGER_PROJECT_REF ?? 'proj_local',
  dirs: ['./tasks'],
  // Other tests have tasks of the same names.
  ignorePatterns: ['**/broken.ts', '**/messy.ts', '**/recorded.ts', '**/tally.ts'],
  maxDuration: 300,
  retries: { enabledInDev: true },
})
