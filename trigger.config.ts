import { defineConfig } from '@trigger.dev/sdk'

const project = process.env.TRIGGER_PROJECT_REF
if (!project) throw new Error('TRIGGER_PROJECT_REF is not set: the "proj_…" of the project on Trigger.dev')

/** How the stock CLI builds and runs the worker: `npm run worker:dev`, `npm run worker:deploy`. */
export default defineConfig({
  project,
  dirs: ['./src/trigger'],
  runtime: 'node-24',
  // The agent waits for its provider nearly all the time.
  machine: 'small-1x',
  // The service sets the duration of each run (RUN_MAX_DURATION_SECONDS); this is for runs started by hand.
  maxDuration: 300,
  // One attempt: a second one would run tools again and write the stream again.
  retries: { enabledInDev: false, default: { maxAttempts: 1 } },
  // A run that ends with a process warm for the next one: a turn starts in milliseconds instead of a second.
  processKeepAlive: { enabled: true, maxExecutionsPerProcess: 500 },
})
