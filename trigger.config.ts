import { defineConfig } from '@trigger.dev/sdk'

/** How the stock CLI builds and runs the worker: `npm run worker:dev`, `npm run worker:deploy`. */
export default defineConfig({
  // The CLI says that it does not find a project of this name. No exception: the file is also loaded where runs
  // execute, and nobody needs the reference there.
  project: process.env.TRIGGER_PROJECT_REF || 'TRIGGER_PROJECT_REF is not set',
  dirs: ['./src/trigger'],
  runtime: 'node-24',
  build: {
    // Packages go into the bundle. A tool that needs native code still works: the CLI finds and installs it.
    autoDetectExternal: true,
    // The dashboard groups errors by their names, and shows stacks.
    keepNames: true,
    minify: false,
  },
  // The agent waits for its provider nearly all the time.
  machine: 'small-1x',
  // The service sets the duration of each run (RUN_MAX_DURATION_SECONDS); this is for runs started by hand.
  maxDuration: 300,
  // One attempt: a second one would run tools again and write the stream again.
  retries: { enabledInDev: false, default: { maxAttempts: 1 } },
  // A run that ends with a process warm for the next one: a turn starts in milliseconds instead of a second.
  processKeepAlive: { enabled: true, maxExecutionsPerProcess: 500 },
})
