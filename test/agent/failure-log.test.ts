import { APICallError } from 'ai'
import t from 'tap'
import { describeFailure } from '../../src/agent/failure-log.ts'
import { ToolError } from '../../src/agent/tools/tool-error.ts'

function callError(statusCode: number, body: object, requestBodyValues: unknown = {}) {
  return new APICallError({
    message: 'Bad Request',
    url: 'https://api.example.com/v1/chat/completions?key=secret',
    requestBodyValues,
    statusCode,
    responseBody: JSON.stringify(body),
  })
}

t.test("the operator reads status, host and the provider's own code and words", (t) => {
  const error = { message: 'The model `gpt-9` does not exist.', code: 'model_not_found' }
  t.equal(
    describeFailure('model_not_found', callError(404, { error }), []),
    'The model provider does not have the model of this service. (model_not_found): 404 from api.example.com, model_not_found: The model `gpt-9` does not exist.',
  )
  const refused = new APICallError({
    message: 'Cannot connect to API',
    url: 'http://127.0.0.1:1/v1',
    requestBodyValues: {},
    cause: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }),
  })
  t.match(
    describeFailure('provider_unreachable', refused, []),
    /: no answer from 127\.0\.0\.1:1, ECONNREFUSED: Cannot/,
  )
  t.end()
})

t.test('words that quote the conversation, and keys, are left out', (t) => {
  const prompt = ['My card is 4111-1111-1111-1111, please cancel my order', 'hello']
  const line = (message: string, asked?: unknown) =>
    describeFailure('provider_rejected', callError(400, { error: { message } }, asked), prompt)
  t.match(line("Invalid input: 'My card is 4111-1111-1111-1111'"), /: \[its message quotes the conversation/)
  t.match(line('could not parse "hello"'), /quotes the conversation/)
  t.match(line('temperature must be below 2'), /: temperature must be below 2$/)
  const messages = [{ role: 'tool', content: 'balance: 1,234,567 of account 99' }]
  t.match(line('refused: balance: 1,234,567 of account 99', { messages }), /quotes the conversation/)
  t.notMatch(line('Incorrect API key provided: sk-proj-abcdef123456'), /abcdef/)
  t.notMatch(line('x'), /key=secret/)
  t.ok(line('word '.repeat(500)).length < 500)
  t.end()
})

t.test('of an error that is not of a provider the log has kind and place, not the message', (t) => {
  const line = describeFailure('internal', new TypeError('MARKER of a user'), [])
  t.match(line, /\(internal\): TypeError at /)
  t.notMatch(line, /MARKER/)
  t.match(describeFailure('internal', 'MARKER', []), /a thrown string$/)
  t.notMatch(describeFailure('internal', new ToolError('MARKER'), []), /MARKER/)
  t.end()
})
