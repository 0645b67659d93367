import { readFileSync } from 'node:fs'
import { build } from 'esbuild'
import { test } from 'tap'
import manifest from '../../package.json' with { type: 'json' }

const dockerfile = readFileSync('Dockerfile', 'utf8')
const ignore = readFileSync('.dockerignore', 'utf8')

/** What is started in the image, by its command or by compose. */
const ENTRIES = [
  'src/server.ts',
  'src/migrate.ts',
  'src/token.ts',
  'src/local/engine/main.ts',
  'src/local/engine/child.ts',
  'src/trigger/agent-chat.ts',
]

test('the image holds every file and every package that its processes load, and no database', async (t) => {
  const { metafile } = await build({
    entryPoints: ENTRIES,
    bundle: true,
    write: false,
    outdir: 'unused',
    metafile: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'silent',
  })
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources = '']) =>
    sources.split(' '),
  )
  const kept = ignore.split('\n').flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []))
  for (const file of Object.keys(metafile.inputs)) {
    const top = file.split('/')[0] ?? ''
    t.ok(copied.includes(top) && kept.includes(top), `${file} is copied`)
  }
  t.ok(copied.includes('migrations') && kept.includes('migrations'), 'migrations are read from their folder')

  const imported = Object.values(metafile.inputs).flatMap(({ imports }) =>
    imports.filter(({ external, path }) => external && !path.startsWith('node:')).map(({ path }) => path),
  )
  const names = new Set(imports(imported))
  const allowed: Record<string, string> = manifest.dependencies
  t.strictSame(
    [...names].filter((name) => !(name in allowed)),
    [],
    'none is a development or optional package',
  )
  t.ok(names.size > 15)
})

const imports = (paths: string[]) =>
  paths.map((path) =>
    path
      .split('/')
      .slice(0, path.startsWith('@') ? 2 : 1)
      .join('/'),
  )

test('the container runs as an ordinary user, hears signals itself and is checked without extra tools', (t) => {
  const stage = dockerfile.slice(dockerfile.lastIndexOf('FROM'))
  t.match(stage, /^USER node$/m)
  t.match(
    stage,
    /^CMD \["node", "src\/server\.ts"\]$/m,
    'no shell and no npm between the signal and the service',
  )
  t.match(stage, /HEALTHCHECK [\s\S]*CMD \["node", "-e", ".*\/livez/)
  t.match(stage, /^ENV NODE_ENV=production HOST=0\.0\.0\.0/m)
  t.match(dockerfile, /npm ci --omit=dev --omit=optional/)
  t.match(ignore, /^\*$/m, 'what is not named does not get in')
  t.end()
})
