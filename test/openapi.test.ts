import { readFile } from 'node:fs/promises'
import t, { test } from 'tap'
import { isLocal } from '../src/auth/docs-token.ts'
import { generate } from '../src/bin/openapi.ts'
import { PROBLEMS, type ProblemCode } from '../src/errors.ts'
import { RUN_STATUSES, Run } from '../src/schemas/run.ts'
import { RUNS } from '../src/schemas/run-variants.ts'
import { compilerOf } from './requests/check.ts'
import { testApp } from './support/app.ts'
import { SECRET } from './support/tokens.ts'

type Response = {
  description: string
  headers?: Record<string, object>
  content?: Record<
    string,
    { schema: Schema; example?: Example; examples?: Record<string, { value: { status: string } }> }
  >
}
type Example = { type: string; status: number; code: ProblemCode }
type Operation = {
  operationId?: string
  parameters?: Array<{ $ref?: string; in?: string; name?: string; required?: boolean }>
  requestBody?: { content: Record<string, { example?: object; schema: object }> }
  summary?: string
  description?: string
  tags?: string[]
  security?: Record<string, string[]>[]
  responses: Record<string, Response>
}
type Document = {
  openapi: string
  info: { description: string }
  security: object[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema>; responses: Record<string, Response> }
}
type Schema = {
  $ref?: string
  allOf?: Schema[]
  required?: string[]
  properties?: Record<string, Schema>
  enum?: string[]
  oneOf?: Array<{ $ref: string }>
  discriminator?: { propertyName: string; mapping: Record<string, string> }
}

const generated = await generate()
const described = testApp(t)
const document: Document = (await described.inject('/openapi.json')).json()
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    name: `${method} ${path}`,
    path,
    operation: { ...operation, responses: resolved(operation.responses) },
  })),
)

/** The responses with those from the components in their places. */
function resolved(responses: Record<string, Response & { $ref?: string }>): Record<string, Response> {
  const entries = Object.entries(responses).map(([status, response]) => {
    const name = response.$ref?.split('/').at(-1) ?? ''
    return [status, document.components.responses[name] ?? response] as const
  })
  return Object.fromEntries(entries)
}

test('openapi.yaml is what the routes say', async (t) => {
  t.equal(await readFile('openapi.yaml', 'utf8'), generated, 'npm run openapi')
  t.equal(await generate(), generated, 'generated the same way twice')
})

test('every operation has a name, a tag, and refusals in the one shape', async (t) => {
  const ids = operations.map(({ operation }) => operation.operationId)
  t.equal(new Set(ids).size, ids.length, 'names are unique')
  t.equal(new Set(operations.map(({ operation }) => operation.summary)).size, ids.length, 'so are summaries')
  for (const { name, path, operation } of operations) {
    t.ok(operation.operationId && operation.summary && operation.tags?.length === 1, name)
    for (const [status, response] of Object.entries(operation.responses)) {
      t.ok(response.description && response.description !== 'Default Response', `${name} ${status}`)
      if (Number(status) < 400) continue
      const { schema, example } = response.content?.['application/problem+json'] ?? {}
      for (const problem of problemsIn(schema))
        t.match(problem.allOf, [{ $ref: '#/components/schemas/Problem' }, {}], `${name} ${status}`)
      t.equal(example?.status, Number(status), `${name} ${status} has an example of its own`)
      t.equal(example?.type, `/problems/${example?.code}`)
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
    ...[400, 404, 409, 413, 422, 429, 500, 503].map(
      (status) => ['syncAgentChat', status, ['Preference-Applied']] as const,
    ),
    ...[410, 500, 503].map((status) => ['streamAgentChat', status, ['Location']] as const),
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
      t.ok('X-Request-Id' in headers, `${name} ${status}`)
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

/** Whether a value fits a schema of the document; the sentence says why not. */
const { compile, errorsText } = compilerOf(document, true)
function misfit(value: unknown, schema: unknown): string | undefined {
  const validate = compile(schema as object)
  return validate(value) ? undefined : errorsText(validate)
}

test('a poll has an example of every status, and all examples fit their schemas', async (t) => {
  let seen = 0
  for (const { name, operation } of operations) {
    for (const { schema, example } of Object.values(operation.requestBody?.content ?? {})) {
      t.ok(example, `${name} has a body that works as it is`)
      t.equal(misfit(example, schema), undefined, name)
    }
    for (const [status, { content = {} }] of Object.entries(operation.responses)) {
      for (const { schema, example, examples = {} } of Object.values(content)) {
        const values = Object.values(examples).map(({ value }) => value)
        for (const value of example === undefined ? values : [...values, example]) {
          t.equal(misfit(value, schema), undefined, `${name} ${status}`)
          seen++
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

test('examples invent no ids and no filters', async (t) => {
  const start = document.paths['/api/agent/chat']?.post?.requestBody?.content['application/json']
  t.same(start?.example, { message: 'What is 17 * 23?' })
  for (const { name, operation } of operations) {
    for (const parameter of operation.parameters ?? []) {
      const { example } = parameter as { example?: unknown }
      // Without `seconds`, Swagger UI would wait for the end of a feed.
      const isAnswered =
        ['code', 'seconds'].includes(parameter.name ?? '') || JSON.stringify(example) === '{}'
      t.ok(example === undefined || isAnswered, `${name} ${parameter.name}`)
    }
    for (const { schema } of Object.values(operation.requestBody?.content ?? {}))
      t.notMatch(
        JSON.stringify(schemaOf(schema)),
        /"default":/,
        `${name}: generators require what has a default`,
      )
  }
})

test('a run is one of five schemas, which together are the one that writes the answers', async (t) => {
  const { Run: run, EndedRun: ended } = document.components.schemas
  const names = (schema?: Schema) => schema?.oneOf?.map(({ $ref }) => $ref.split('/').at(-1))
  t.same(names(run), ['QueuedRun', 'RunningRun', 'CompletedRun', 'FailedRun', 'CancelledRun'])
  t.same(names(ended), ['CompletedRun', 'FailedRun', 'CancelledRun'])
  for (const { oneOf = [], discriminator } of [run ?? {}, ended ?? {}]) {
    t.equal(discriminator?.propertyName, 'status')
    const mapped = Object.entries(discriminator?.mapping ?? {})
    t.same(
      mapped.map(([, $ref]) => ({ $ref })),
      oneOf,
    )
    for (const [status, $ref] of mapped) t.same(schemaOf({ $ref }).properties?.status?.enum, [status])
  }
  const described = new Set(RUNS.flatMap(({ properties }) => Object.keys(properties)))
  t.same([...described].sort(), Object.keys(Run.properties).sort())
})

/** The problems of one code each that a refusal can be. */
function problemsIn(schema: Schema | { $ref?: string } = {}): Schema[] {
  const { oneOf = [schema] } = schema as Schema
  return oneOf.map(schemaOf)
}

test('a problem is typed by its code, with the members that only this code has', (t) => {
  const { schemas } = document.components
  const codes = schemas.ProblemCode?.enum as ProblemCode[]
  t.same(codes, Object.keys(PROBLEMS))
  const typed = Object.values(schemas).flatMap(({ allOf: [base, own] = [] }) =>
    base?.$ref === '#/components/schemas/Problem' && own !== undefined ? [own] : [],
  )
  const named = typed.map(({ properties }) => properties?.code?.enum?.[0])
  // Any address can answer with these, so no operation names them.
  const everywhere = ['method_not_allowed', 'request_timeout', 'expectation_failed']
  t.same(named.concat(everywhere).sort(), codes.toSorted())
  for (const { properties, required } of typed) t.same(required, Object.keys(properties ?? {}))
  const members = new Set(typed.flatMap(({ required = [] }) => required))
  for (const member of ['errors', 'activeRunId', 'headMessageId', 'supersededBy']) t.ok(members.has(member))
  t.end()
})

function schemaOf({ $ref }: { $ref?: string }): Schema {
  return document.components.schemas[$ref?.split('/').at(-1) ?? ''] ?? {}
}

test('a refusal lists the codes that the operation can give with that status', async (t) => {
  const codesOf = (operationId: string, status: number) => {
    const { operation } = operations.find(({ operation }) => operation.operationId === operationId) ?? {}
    const { schema } = operation?.responses[status]?.content?.['application/problem+json'] ?? {}
    return problemsIn(schema)
      .flatMap(({ allOf: [, own] = [] }) => own?.properties?.code?.enum ?? [])
      .sort()
  }
  t.same(codesOf('pollAgentChat', 404), ['run_not_found'])
  t.same(codesOf('pollAgentChat', 400), ['invalid_request'])
  t.same(codesOf('startAgentChat', 404), ['conversation_not_found'])
  t.same(codesOf('listAgentChats', 400), ['invalid_cursor', 'invalid_request'])
  t.same(codesOf('getConversation', 503), ['database_unavailable', 'key_set_unavailable', 'shutting_down'])
  t.same(codesOf('live', 400), ['malformed_http'])
  for (const { name, operation } of operations) {
    for (const status of Object.keys(operation.responses).filter((status) => Number(status) >= 400)) {
      const codes = codesOf(operation.operationId ?? '', Number(status)) ?? []
      t.ok(codes.length > 0, `${name} ${status}`)
      for (const code of codes)
        t.equal(PROBLEMS[code as ProblemCode].status, Number(status), `${name} ${code}`)
    }
  }
})

test('every operation needs a token unless it says otherwise, and the overview is half a page', async (t) => {
  t.same(document.security, [{ bearer: [] }])
  for (const { name, path, operation } of operations)
    t.equal(operation.security?.length === 0, !path.startsWith('/api/'), name)
  for (const word of ['Start', 'Wait', 'Read', 'Tokens', 'Retries', 'Limits', 'Errors'])
    t.match(document.info.description, new RegExp(`\\*\\*${word}`))
  t.ok(document.info.description.length < 3_000)
})

test('the service serves its own description', async (t) => {
  t.equal(document.openapi, '3.1.0')
  const yaml = await described.inject('/openapi.yaml')
  t.match(yaml.headers['content-type'], /yaml/)
  t.equal(yaml.body, generated)
})

test('the documentation opens authorised on this machine only', async (t) => {
  const embedded = { embeddedSecret: SECRET }
  const apps = new Map<object, ReturnType<typeof testApp>>()
  const tokenFrom = async (config: object, headers: Record<string, string>) => {
    const app = apps.get(config) ?? testApp(t, { config })
    apps.set(config, app)
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
