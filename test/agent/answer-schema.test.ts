import t from 'tap'
import { answerCheck, schemaFaults } from '../../src/agent/structured/answer-schema.ts'

const object = (fields: object) => ({ type: 'object', ...fields })
const paths = (schema: Record<string, unknown>) => schemaFaults(schema).map(({ path }) => path)

t.test('schemas as generators write them are taken', (t) => {
  for (const schema of [
    object({}),
    object({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: 'https://example.com/city',
      title: 'City',
      'x-note': 1,
      properties: { email: { type: 'string', format: 'email', pattern: '^[^@]+@[^@]+$' } },
    }),
    object({ $schema: 'http://json-schema.org/draft-07/schema#', definitions: { a: { type: 'string' } } }),
    object({
      properties: { a: { $ref: '#/$defs/a' }, b: { $ref: '#/$defs/a' } },
      $defs: { a: { type: 'string' } },
    }),
    object({ properties: { $ref: { type: 'string' }, pattern: { enum: ['('] } } }),
    object({
      properties: { 'a/b': { const: { $ref: 'https://example.com' } }, c: { $ref: '#/properties/a~1b' } },
    }),
  ])
    t.same(schemaFaults(schema), [], JSON.stringify(schema))
  t.end()
})

t.test('what cannot be used is refused with its path', (t) => {
  for (const [schema, ...expected] of [
    [{ type: 'array' }, '/type'],
    [{}, '/type'],
    [object({ properties: { a: { type: 'strng' } } }), '/properties/a/type'],
    [object({ required: 'a' }), '/required'],
    [object({ properties: { a: { $ref: 'https://example.com/a.json' } } }), '/properties/a/$ref'],
    [object({ properties: { a: { $ref: '#a' } } }), '/properties/a/$ref'],
    [object({ properties: { a: { $ref: '#/$defs/none' } } }), '/properties/a/$ref'],
    [object({ properties: { a: { $ref: '#' } } }), '/properties/a/$ref'],
    [object({ properties: { a: { $id: 'b' } } }), '/properties/a/$id'],
    [object({ $dynamicRef: '#a' }), '/$dynamicRef'],
    [object({ $async: true }), '/$async'],
    [object({ properties: { a: { type: 'string', pattern: '(' } } }), '/properties/a/pattern'],
    [object({ patternProperties: { '[': {} } }), '/patternProperties/['],
    [
      object({ $defs: { a: { $ref: '#/$defs/b' }, b: { anyOf: [{ $ref: '#/$defs/a' }] } } }),
      '/$defs/b/anyOf/0/$ref',
    ],
    [object({ description: 'x'.repeat(17_000) }), ''],
  ] as [Record<string, unknown>, ...string[]][])
    t.ok(
      expected.every((path) => paths(schema).includes(path)),
      `${JSON.stringify(schema).slice(0, 90)} ${paths(schema)}`,
    )
  t.end()
})

t.test('an answer is checked within a bounded time, whatever the schema does', (t) => {
  const slow = { type: 'object', properties: { a: { type: 'string', pattern: '^(a+)+$' } } }
  t.same(schemaFaults(slow), [])
  const check = answerCheck(slow)
  t.same(check({ a: 'aaa' }), [])
  t.same(check({ a: `${'a'.repeat(50)}!` }), ['It could not be compared with the schema in time.'])
  const doubling = Object.fromEntries(
    Array.from({ length: 40 }, (_, n) => [
      `d${n}`,
      { allOf: [0, 1].map(() => ({ $ref: `#/$defs/d${n + 1}` })) },
    ]),
  )
  const exploding = object({ properties: { x: { $ref: '#/$defs/d0' } }, $defs: { ...doubling, d40: {} } })
  t.match(schemaFaults(exploding), [{ path: '', message: /at most 5000 schemas/ }])
  const many = object({ properties: { a: { type: 'array', uniqueItems: true, items: { type: 'integer' } } } })
  const items = Array.from({ length: 20_000 }, (_, n) => ({ n }))
  t.match(answerCheck(many)({ a: items }), [/must be integer/])
  t.end()
})

t.test('the faults of an answer are told in words, five at most', (t) => {
  const check = answerCheck(
    object({ properties: { a: { type: 'integer' } }, required: ['b'], additionalProperties: false }),
  )
  t.same(check({ a: 1, b: 2 }), ['The value must NOT have additional properties (b).'])
  t.match(check({ a: 'x' }).join(), /required property 'b'.*\/a must be integer/)
  const many = answerCheck(object({ required: Array.from({ length: 20 }, (_, n) => `f${n}`) }))
  t.equal(many({}).length, 5)
  t.end()
})
