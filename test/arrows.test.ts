import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path/posix'
import { test } from 'tap'
import { agents } from '../src/agents/index.ts'

type Arrow = { from: string; to: string; kind: 'value' | 'type' | 'dynamic' }
type Tree = Record<string, string>

const root = join(import.meta.dirname, '..')

/** Every module of the service, by its path. */
const service: Tree = Object.fromEntries(
  globSync(['{src,plugins,routes,migrations}/**/*.ts', 'trigger.config.ts'], { cwd: root }).map((path) => [
    path,
    readFileSync(join(root, path), 'utf8'),
  ]),
)

/** Who may not reach whom. `only` says which kinds of import are meant; all of them when it is absent. */
const forbidden: { from: RegExp; to: RegExp; why: string; only?: Arrow['kind'][] }[] = [
  {
    from: /^routes\//,
    to: /^src\/(stores|engine|agent)\/|^(kysely|pg|@trigger\.dev)(\/|$)/,
    why: 'routes talk to services',
    only: ['value', 'dynamic'],
  },
  {
    from: /^src\/(?!bin\/|app\.ts$|lifecycle\/)/,
    to: /^(routes|plugins)\/|^src\/(bin\/|app\.ts$)/,
    why: 'the service is composed in src/app.ts and started in src/bin',
    only: ['value', 'dynamic'],
  },
  {
    from: /^plugins\//,
    to: /^(routes|migrations)\/|^src\/(bin|lifecycle)\//,
    why: 'plugins are below routes, and know nothing of the process',
  },
  {
    from: /^src\/schemas\//,
    to: /^src\/(services|http|auth|limits)\//,
    why: 'schemas describe requests and answers, and know nothing of those who use them',
  },
  {
    from: /^src\/services\//,
    to: /^(routes|plugins)\/|^(kysely|pg|fastify|@fastify|@trigger\.dev)(\/|$)/,
    why: 'services know neither HTTP nor SQL',
  },
  {
    from: /^src\/stores\//,
    to: /^(routes|plugins)\/|^src\/(services|engine)\/|^(fastify|@fastify|@trigger\.dev)(\/|$)/,
    why: 'stores know only SQL',
    only: ['value', 'dynamic'],
  },
  {
    from: /^src\/engine\//,
    to: /^(routes|plugins)\/|^src\/(services|stores)\/|^(kysely|pg|fastify|@fastify)(\/|$)/,
    why: 'the engine knows only Trigger.dev',
    only: ['value', 'dynamic'],
  },
  {
    from: /^src\/webhooks\//,
    to: /^(routes|plugins)\/|^src\/(services|stores|engine|http)\/|^(kysely|pg|fastify|@fastify)(\/|$)/,
    why: 'the sending of webhooks knows HTTP and signatures, and nothing of runs',
  },
  {
    from: /^src\/feed\//,
    to: /^(routes|plugins)\/|^src\/(services|stores|engine)\/|^(kysely|pg|fastify|@fastify)(\/|$)/,
    why: 'the feed is handed its events',
    only: ['value', 'dynamic'],
  },
  {
    from: /^src\/agent\//,
    to: /^(routes|plugins|migrations)\/|^src\/(?!agent\/)|^@trigger\.dev(\/|$)/,
    why: 'the agent knows nothing of the service and of Trigger.dev',
  },
  {
    from: /^src\/agents\//,
    to: /^(routes|plugins|migrations)\/|^src\/(?!agents?\/)|^@trigger\.dev(\/|$)/,
    why: 'an agent is made of the parts of src/agent',
  },
  {
    from: /^src\/agents\/(index|[\w-]+\/card)\.ts$/,
    to: /^(?!src\/agents\/[\w-]+\/card\.ts$)/,
    why: 'the service loads these files when it starts, and the code of an agent when it is asked for',
    only: ['value'],
  },
  {
    from: /^src\/trigger\//,
    to: /^(routes|plugins|migrations)\/|^src\/(?!trigger\/|agents?\/|telemetry\/worker-tracing\.ts$)/,
    why: 'the worker has no way back into the service',
    only: ['value', 'dynamic'],
  },
  {
    from: /^(?!src\/trigger\/)/,
    to: /^src\/trigger\//,
    why: 'tasks are imported as types only: their code belongs to the worker',
    only: ['value', 'dynamic'],
  },
  {
    from: /^(?!src\/local\/|src\/bin\/server\.ts$|src\/bin\/token\.ts$)/,
    to: /^src\/local\//,
    why: 'the embedded defaults belong to the server alone',
  },
  {
    from: /^src\/bin\/server\.ts$/,
    to: /^src\/local\//,
    why: 'a server that has everything it needs does not load the embedded defaults',
    only: ['value'],
  },
  {
    from: /^(?!src\/(lifecycle|local)\/|src\/bin\/server\.ts$)/,
    to: /^src\/lifecycle\//,
    why: 'start and end of a process belong to what is started',
    only: ['value', 'dynamic'],
  },
  {
    from: /^src\/bin\/token\.ts$/,
    to: /^src\/local\/(?!secret\.ts$)/,
    why: 'a token needs the secret alone',
  },
]

/** What is started as a process of its own; everything else is handed its configuration. */
const processEntries = [
  'src/bin/server.ts',
  'src/bin/token.ts',
  'src/bin/migrate.ts',
  'src/bin/healthcheck.ts',
  'src/bin/openapi.ts',
  'trigger.config.ts',
  'src/trigger/agent-chat.ts',
  'src/local/engine/main.ts',
  'src/local/engine/child.ts',
  'src/local/engine/engine.ts', // Hands PATH, TZ and the like on to its children.
  'src/local/engine/leftovers.ts', // Compares what a run has left in it.
  'src/telemetry/terminal.ts', // NO_COLOR is the terminal's, not the service's.
]

test('modules import only those that they may know', (t) => {
  t.ok(Object.keys(service).length > 50, 'the modules were found')
  t.strictSame(faults(service), [])
  t.end()
})

test('every arrow that points the wrong way is found in a made-up tree', (t) => {
  const wrong: Tree = {
    'routes/a.ts': `import { rows } from '../src/stores/rows.ts'`,
    'src/services/b.ts': `import type { FastifyRequest } from 'fastify'\nimport { sql } from 'kysely'`,
    'src/services/c.ts': `export * from '../../plugins/errors.ts'`,
    'src/stores/d.ts': `import {\n  a,\n  type B,\n} from '../services/b.ts'`,
    'src/engine/e.ts': `import '../stores/d.ts'`,
    'src/agent/f.ts': `import type { Config } from '../config/config.ts'`,
    'src/agents/l/agent.ts': `import { config } from '../../config/config.ts'`,
    'src/agents/l/card.ts': `import { z } from 'zod'`,
    'src/trigger/g.ts': `import { config } from '../config/config.ts'`,
    'plugins/h.ts': `const task = await import('../src/trigger/g.ts')`,
    'plugins/i.ts': `import routes from '../routes/a.ts'`,
    'src/schemas/j.ts': `import type { View } from '../services/b.ts'`,
    'src/http/k.ts': `import { app } from '../../plugins/h.ts'`,
    'src/app.ts': `const { startPostgres } = await import(\n  './local/postgres.ts'\n)`,
    'src/bin/server.ts': `import { startPostgres } from '../local/postgres.ts'`,
    'src/bin/token.ts': `import { startPostgres } from '../local/postgres.ts'`,
    'src/config/config.ts': 'export const config = process.env.PORT',
    'src/errors.ts': `import { env } from 'node:process'`,
  }
  const found = faults(wrong).map((fault) => fault.split(' ')[0])
  t.strictSame(found.sort(), [...Object.keys(wrong), 'src/services/b.ts', 'src/services/c.ts'].sort())
  t.end()
})

test('arrows that point the right way are left in peace', (t) => {
  const right: Tree = {
    'routes/a.ts': `import { start } from '../src/services/b.ts'\nimport type { Row } from '../src/stores/rows.ts'`,
    'src/services/b.ts': `import { rows } from '../stores/rows.ts'\nimport type { RunEngine } from '../engine/e.ts'`,
    'src/engine/e.ts': `import type { agentChat } from '../trigger/g.ts'\ntype Task = typeof import('../trigger/g.ts')`,
    'src/trigger/g.ts': `import { answer } from '../agent/f.ts'\nimport { agents } from '../agents/index.ts'`,
    'src/agents/index.ts': `import { card } from './l/card.ts'\nconst agent = await import('./l/agent.ts')`,
    'src/agents/l/card.ts': `import type { AgentCard } from '../../agent/definition.ts'`,
    'src/agent/f.ts': `// import { config } from '../config/config.ts'\n/* process.env is not read: import '../config/config.ts' */`,
    'src/bin/server.ts': `const local = await import('../local/postgres.ts')\nconst port = process.env.PORT`,
    'src/bin/token.ts': `import { localSecret } from '../local/secret.ts'`,
    'plugins/h.ts': `import { rows } from '../src/stores/rows.ts'\nexport type Name = 'import' | 'from'`,
    'src/app.ts': `throw new Error("import { x } from './local/postgres.ts' is not for you")`,
  }
  t.strictSame(faults(right), [])
  t.end()
})

test('every folder of an agent is in the register', (t) => {
  const folders = globSync('src/agents/*/', { cwd: root }).map((path) => basename(path))
  t.same(Object.keys(agents).sort(), folders.sort())
  t.end()
})

function faults(tree: Tree): string[] {
  return Object.entries(tree).flatMap(([path, source]) => {
    const code = withoutComments(source)
    const arrows = importsOf(path, code).flatMap((arrow) =>
      forbidden
        .filter(
          ({ from, to, only }) =>
            from.test(arrow.from) && to.test(arrow.to) && (only?.includes(arrow.kind) ?? true),
        )
        .map(({ why }) => `${arrow.from} imports ${arrow.to} (${arrow.kind}), but ${why}`),
    )
    const readsEnvironment = /\bprocess\s*\.\s*env\b|from '(node:)?process'/.test(code)
    if (!readsEnvironment || processEntries.includes(path)) return arrows
    return [...arrows, `${path} reads the environment, but configuration is passed in`]
  })
}

/** Biome's format makes this simple: single quotes, and every import declaration starts a line. */
function importsOf(from: string, code: string): Arrow[] {
  const target = (name: string) => (name.startsWith('.') ? join(dirname(from), name) : name)
  const declarations = code.matchAll(/^(?:import|export)\b(\s+type\b)?(?:[\w\s{},*$]*?\bfrom)?\s*'([^']+)'/gm)
  const calls = code.matchAll(/(\btypeof\s+)?\bimport\(\s*'([^']+)'/g)
  return [
    ...Array.from(declarations, ([, type, name = '']) => ({
      from,
      to: target(name),
      kind: type ? ('type' as const) : ('value' as const),
    })),
    ...Array.from(calls, ([, type, name = '']) => ({
      from,
      to: target(name),
      kind: type ? ('type' as const) : ('dynamic' as const),
    })),
  ]
}

function withoutComments(source: string): string {
  return source
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/\s\/\/ .*$/gm, '')
}
