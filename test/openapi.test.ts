import { readFile } from 'node:fs/promises'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import t, { test } from 'tap'
import { isLocal } from '../src/auth/docs-token.ts'
import { generate } from '../src/openapi.ts'
import { RUN_STATUSES } from '../src/schemas/run.ts'
import { testApp } from './support/app.ts'
import { SECRET } from './support/tokens.ts'

type Operation = {
  operationId?: string
  parameters?: Array<{ $ref?: string; in?: string; name?: string; required?: boolean }>
  requestBody?: { content: Record<string, unknown> }
  summary?: string
  tags?: string[]
  security?: Record<string, string[]>[]
  responses: Record<
    string,
    {
      description: string
      headers?: Record<string, object>
      content?: Record<string, { schema: unknown; examples?: Record<string, { value: { status: string } }> }>
    }
  >
}
type Document = { openapi: string; paths: Record<string, Record<string, Operation>>; components: object }

const generated = await generate()
const described = testApp(t)
const document: Document = (await described.inject('/openapi.json')).json()
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, path, operation })),
)

test('openapi.yaml is what the routes say', async (t) => {
  t.equal(await readFile('openapi.yaml', 'utf8'), generated, 'npm run openapi')
  t.equal(await generate(), generated, 'generated the same way twice')
})

test('every operation has a name, a tag, and refusals in the one shape', async (t) => {
  const ids = operations.map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length, 'names are unique')
  for (const { name, path, operation } of operations) {
    t.ok(operation.operationId && operation.summary && operation.tags?.length === 1, name)
    for (const [status, response] of Object.entries(operation.responses)) {
      t.ok(response.description && response.description !== 'Default Response', `${name} ${status}`)
      if (Number(status) < 400 || (path === '/readyz' && status === '503')) continue
      t.same(
        response.content,
        { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        `${name} ${status}`,
      )
    }
    if (!path.startsWith('/api/')) continue
    t.match(operation.security, [{ bearer: [/^agent:(read|write)$/] }], name)
    for (const status of ['401', '403', '429', '500']) t.ok(operation.responses[status], `${name} ${status}`)
  }
})

test('what may be left out is not required', async (t) => {
  const required = operations.flatMap(({ name, operation }) =>
    (operation.parameters ?? [])
      .filter((parameter) => parameter.in !== 'path' && parameter.required)
      .map(({ name: parameter }) => `${name} ${parameter}`),
  )
  t.same(required, [])
})

test('headers are described with the answers that carry them', async (t) => {
  const carried = (operationId: string, status: number) => {
    const { operation } = operations.find(({ operation }) => operation.operationId === operationId) ?? {}
    return Object.keys(operation?.responses[status]?.headers ?? {})
  }
  for (const [operationId, status, headers] of [
    ['startAgentChat', 202, ['Location', 'Idempotency-Replayed']],
    ['syncAgentChat', 200, ['Location', 'Idempotency-Replayed', 'Preference-Applied', 'ETag']],
    ['syncAgentChat', 202, ['Location', 'Idempotency-Replayed', 'Preference-Applied', 'Retry-After']],
    ['streamAgentChat', 200, ['Location', 'Idempotency-Replayed', 'X-Run-Id', 'X-Conversation-Id']],
    ['pollAgentChat', 200, ['ETag', 'Retry-After']],
    ['pollAgentChat', 304, ['ETag', 'Retry-After']],
    ['cancelAgentChat', 200, ['ETag', 'Retry-After']],
    ['createConversation', 201, ['Location']],
  ] as const) {
    for (const header of headers)
      t.ok(carried(operationId, status).includes(header), `${operationId} ${status} ${header}`)
  }
  for (const { name, path, operation } of operations) {
    if (!path.startsWith('/api/')) continue
    const parameters = (operation.parameters ?? []).map(({ $ref }) => $ref)
    t.ok(parameters.includes('#/components/parameters/EffectiveUser'), name)
    for (const [status, { headers = {} }] of Object.entries(operation.responses)) {
      const limited = !['401', '403'].includes(status)
      t.equal('RateLimit' in headers && 'RateLimit-Policy' in headers, limited, `${name} ${status}`)
      t.equal('WWW-Authenticate' in headers, ['401', '403'].includes(status), `${name} ${status}`)
    }
  }
})

test('bodies are described in every form that is taken, and what becomes of others', async (t) => {
  const patch = document.paths['/api/agent/conversations/{id}']?.patch
  t.same(Object.keys(patch?.requestBody?.content ?? {}), ['application/merge-patch+json', 'application/json'])
  for (const { name, path, operation } of operations) {
    const reads = name.startsWith('get ')
    if (path.startsWith('/api/')) t.equal('415' in operation.responses, !reads, name)
  }
  const problem = document.paths['/problems/{code}']?.get?.responses['200']
  t.same(Object.keys(problem?.content ?? {}), ['application/json', 'text/html'])
})

test('every reference leads somewhere', async (t) => {
  const references = [...generated.matchAll(/\$ref: "?#\/([^\s"]+)/g)].map(([, path]) => path ?? '')
  t.ok(references.length > 0)
  for (const path of new Set(references)) {
    const target = path
      .split('/')
      .reduce<unknown>((value, key) => (value as Record<string, unknown>)?.[key], document)
    t.ok(target, path)
  }
})

test('a poll has an example of every status, and all examples fit their schemas', async (t) => {
  const ajv = addFormats.default(new Ajv2020({ strict: false, allErrors: true }))
  ajv.addSchema(document, 'description')
  const pointer = (key: string) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))
  let seen = 0
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, { responses }] of Object.entries(methods)) {
      for (const [status, { content = {} }] of Object.entries(responses)) {
        for (const [type, { examples = {} }] of Object.entries(content)) {
          const place = ['paths', path, method, 'responses', status, 'content', type, 'schema']
          for (const [name, { value }] of Object.entries(examples)) {
            const validate = ajv.compile({ $ref: `description#/${place.map(pointer).join('/')}` })
            t.ok(validate(value), `${method} ${path} ${status} ${name}: ${ajv.errorsText(validate.errors)}`)
            seen++
          }
        }
      }
    }
  }
  const { examples = {} } =
    document.paths['/api/agent/chat/{runId}']?.get?.responses['200']?.content?.['application/json'] ?? {}
  t.same(Object.keys(examples).sort(), [...RUN_STATUSES].sort())
  for (const [status, { value }] of Object.entries(examples)) t.equal(value.status, status)
  t.ok(seen >= RUN_STATUSES.length)
})

test('the service serves its own description', async (t) => {
  t.equal(document.openapi, '3.1.0')
  const yaml = await described.inject('/openapi.yaml')
  t.match(yaml.headers['content-type'], /yaml/)
  t.equal(yaml.body, generated)
})

test('the documentation opens authorised on this machine only', async (t) => {
  const embedded = { embeddedSecret: SECRET }
  const tokenFrom = async (config: object, headers: Record<string, string>) => {
    const app = testApp(t, { config })
    const page = await app.inject({ url: '/docs', headers })
    t.equal(page.statusCode, 200)
    const script = await app.inject({ url: '/docs/static/swagger-initializer.js', headers })
    t.equal(script.statusCode, 200)
    t.notMatch(page.body + script.body, /eyJ/, 'a token is never part of a page')
    const asked = { connection: 'keep-alive', ...headers }
    return { app, answer: await app.inject({ url: '/docs/token', headers: asked }) }
  }

  for (const host of ['localhost:3000', '127.0.0.1:3000', '[::1]:3000', 'localhost', 'LOCALHOST:80']) {
    const { app, answer } = await tokenFrom(embedded, { host })
    t.equal(answer.statusCode, 200, host)
    const authorization = `Bearer ${answer.json().token}`
    const claims = JSON.parse(Buffer.from(authorization.split('.')[1] ?? '', 'base64url').toString())
    t.match(claims, { sub: 'docs', scope: 'agent:read agent:write' })
    t.equal(claims.exp - claims.iat, 12 * 3600)
    const used = await app.inject({ url: '/api/agent/chat/not-a-run', headers: { authorization } })
    t.equal(used.statusCode, 400, 'it is valid')
  }

  const refused: [object, Record<string, string>][] = [
    [embedded, { host: 'evil.example' }],
    [embedded, { host: 'localhost.evil.example:3000' }],
    [embedded, { host: '127.0.0.1.evil.example' }],
    [embedded, { host: 'evil.example:127.0.0.1' }],
    [embedded, { host: 'localhost:3000', 'sec-fetch-site': 'cross-site' }],
    [embedded, { host: 'localhost:3000', 'sec-fetch-site': 'same-site' }],
    [{ ...embedded, host: '0.0.0.0' }, { host: 'localhost:3000' }],
    [{ ...embedded, host: '192.168.1.5' }, { host: 'localhost:3000' }],
    [{}, { host: 'localhost:3000' }],
    [embedded, { host: 'localhost:3000', referer: 'https://docs.example/docs' }],
    [embedded, { host: 'localhost:3000', referer: 'http://localhost:5173/docs' }],
    [embedded, { host: 'localhost:3000', connection: 'close' }],
    [embedded, { host: 'localhost:3000', connection: '' }],
    ...['X-Forwarded-For', 'X-Forwarded-Proto', 'Forwarded', 'Via', 'X-Real-IP', 'CF-Connecting-IP'].map(
      (name): [object, Record<string, string>] => [embedded, { host: 'localhost:3000', [name]: '127.0.0.1' }],
    ),
  ]
  for (const [config, headers] of refused) {
    const { answer } = await tokenFrom(config, headers)
    t.equal(answer.statusCode, 404, JSON.stringify([config, headers]))
    t.notMatch(answer.body, /eyJ/)
  }
  const asked = { httpVersion: '1.1', target: '/docs/token', remoteAddress: '127.0.0.1' }
  const headers = { host: 'localhost:3000', connection: 'keep-alive' }
  t.ok(isLocal('127.0.0.1', { ...asked, headers }))
  for (const [what, own] of Object.entries({
    'no Host header at all': { headers: { connection: 'keep-alive' } },
    'another machine': { remoteAddress: '192.168.1.7' },
    'HTTP/1.0': { httpVersion: '1.0' },
    'an absolute target': { target: 'http://localhost:3000/docs/token' },
  })) {
    t.notOk(isLocal('127.0.0.1', { ...asked, headers, ...own }), what)
  }
})

t.test('a page asks for the token itself', async (t) => {
  const app = testApp(t)
  const script = await app.inject('/docs/static/swagger-initializer.js')
  t.match(script.body, /fetch\(`\$\{base\}\/token`\)/)
  t.doesNotThrow(() => new Function(script.body), 'it is a script that browsers understand')
})
