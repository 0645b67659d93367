import t from 'tap'
import { contextCheck } from '../../src/http/turn-context.ts'
import { StartError } from '../../src/start-error.ts'

t.test('a schema that is none stops the start with a sentence', (t) => {
  for (const [schema, why] of [
    [{ type: 'objekt' }, /type must be .*objekt/],
    [{ type: 'object', propertys: {} }, /unknown keyword: "propertys"/],
    [{ $ref: '#/$defs/none' }, /./],
  ] as const)
    try {
      contextCheck(schema, 'default')
      t.fail(JSON.stringify(schema))
    } catch (error) {
      t.ok(error instanceof StartError)
      t.match(error, {
        message: /^contextSchema in src\/agents\/default\/card\.ts cannot be used as a JSON Schema: /,
      })
      t.match(error, { message: why })
    }
  t.end()
})

t.test('references within a schema begin at the schema', (t) => {
  const check = contextCheck(
    {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: { shop: { $ref: '#/$defs/shop' } },
      $defs: { shop: { type: 'string' } },
    },
    'default',
  )
  check({ shop: 'a' })
  try {
    check({ shop: 1 })
    t.fail('it fits')
  } catch (error) {
    t.match(error, { details: { members: { errors: [{ path: '/context/shop' }] } } })
  }
  t.end()
})
