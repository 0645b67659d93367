import { globSync, readFileSync } from 'node:fs'
import { createServer, request as forward } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startProcess } from '../../support/process.ts'
import type { Teardown } from '../../support/service.ts'
import { cases } from './conformance/cases.ts'
import { Unable } from './conformance/suite.ts'
import { openTarget, type Target } from './conformance/target.ts'

const target = await openTarget()
t.teardown(() => target.stop())

// The same cases run against any server by conformance/run.ts; the local engine must be able to do all of them.
for (const { name, run } of cases) {
  t.test(name, async (t) => {
    try {
      await run(target)
      t.pass(name)
    } catch (error) {
      if (error instanceof Unable) t.fail(`unable: ${error.message}`)
      else throw error
    }
  })
}

const OBJECT_STORE = /of 200 KiB .*through the object store/
const INDEX = /read from an index/

t.test('a case that a server cannot do says why, and a broken server is not taken for one', async (t) => {
  const outcomes = async (names: RegExp, other: Target) => {
    t.teardown(() => other.stop())
    const tried = cases.filter(({ name }) => names.test(name))
    return Promise.all(
      tried.map(async ({ run }) =>
        run(other).then(
          () => 'pass',
          (error) => (error instanceof Unable ? error.message : 'FAIL'),
        ),
      ),
    )
  }
  const poor = await openTarget(undefined, { switches: { streams: 'redis', objectStore: false } })
  t.same(await outcomes(OBJECT_STORE, poor), Array(2).fill('the server has no object store'))
  t.same(await outcomes(INDEX, poor), ['the server has no S2: its ids are no indices'])

  const broken = fileURLToPath(new URL('./tasks/broken.ts', import.meta.url))
  t.same(await outcomes(/an output of 200 KiB/, await openTarget(undefined, { taskModules: [broken] })), [
    'FAIL',
  ])

  const url = await withoutHeader(t, target.url, 'last-event-id')
  t.same(
    await outcomes(INDEX, await openTarget({ url, secretKey: target.secretKey })),
    ['FAIL'],
    'S2 that begins at the start',
  )
})

t.test('an address without a key is a mistake with a sentence', async (t) => {
  const half = startProcess(t, [process.execPath, 'test/local/engine/conformance/run.ts'], {
    environment: { TRIGGER_API_URL: target.url },
  })
  t.equal((await half.ended).code, 1)
  t.equal(
    half.output(),
    'TRIGGER_API_URL is set and TRIGGER_SECRET_KEY is not: it takes both to reach a server, and neither for the local engine',
  )
})

t.test('the worker that the README starts serves the tasks of the cases, and no others', async (t) => {
  const folder = 'test/local/engine'
  const [, file = ''] =
    /dev --config (\S+)/.exec(readFileSync(`${folder}/conformance/README.md`, 'utf8')) ?? []
  t.equal(file, `${folder}/trigger.config.ts`)
  const { dirs = [], ignorePatterns = [] } = (await import(resolve(file))).default as {
    dirs?: string[]
    ignorePatterns?: string[]
  }
  // The CLI looks in the folder of the configuration, and drops what begins with `../`.
  const found = dirs.flatMap((dir) =>
    globSync(`${dir.replace('./', '')}/**/*.ts`, { cwd: folder, exclude: ignorePatterns }),
  )
  t.same(found, ['tasks/basic.ts'])
})

/** Passes everything on to a server but for one header. */
async function withoutHeader(t: Teardown, url: string, header: string): Promise<string> {
  const server = createServer((incoming, response) => {
    const { [header]: _, ...headers } = incoming.headers
    const outgoing = forward(`${url}${incoming.url}`, { method: incoming.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    incoming.pipe(outgoing)
    response.on('close', () => outgoing.destroy())
    outgoing.on('error', () => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
