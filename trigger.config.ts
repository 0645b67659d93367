import { readFileSync } from 'node:fs'
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
    extensions: [
      {
        name: 'without-embedded-packages',
        // The CLI installs the project's optionalDependencies in the image: 250 MB of Node and Postgres binaries
        // that only `npm start` on a developer's machine uses. The last stage of the image copies what is left.
        onBuildComplete(context) {
          if (context.target === 'dev') return
          const { optionalDependencies } = JSON.parse(readFileSync(context.config.packageJsonPath, 'utf8'))
          const folders = Object.keys(optionalDependencies).map((name) => `node_modules/${name}`)
          context.addLayer({ id: 'without-embedded-packages', commands: [`rm -rf ${folders.join(' ')}`] })
        },
      },
    ],
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
