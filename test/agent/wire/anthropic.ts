import { type Dialect, halves, type Refused, type Said, sse, type Trouble } from './dialect.ts'

const event = (data: { type: string } & Record<string, unknown>) => sse(data, data.type)

function block(index: number, content_block: object, deltas: object[]): string[] {
  return [
    event({ type: 'content_block_start', index, content_block }),
    ...deltas.map((delta) => event({ type: 'content_block_delta', index, delta })),
    event({ type: 'content_block_stop', index }),
  ]
}

function blocks({ reasoning, text, calls = [] }: Said): string[] {
  const thinking = halves(reasoning ?? '').map((half) => ({ type: 'thinking_delta', thinking: half }))
  return [
    ...(reasoning
      ? block(0, { type: 'thinking', thinking: '', signature: '' }, [
          ...thinking,
          { type: 'signature_delta', signature: 'sealed' },
        ])
      : []),
    ...(text
      ? block(
          1,
          { type: 'text', text: '' },
          halves(text).map((half) => ({ type: 'text_delta', text: half })),
        )
      : []),
    ...calls.flatMap(({ id, name, args }, at) =>
      block(2 + at, { type: 'tool_use', id, name, input: {} }, [
        { type: 'input_json_delta', partial_json: JSON.stringify(args) },
      ]),
    ),
  ]
}

const refused = (status: number, type: string, message: string): Refused => ({
  status,
  body: { type: 'error', error: { type, message } },
})

const refusals: Record<Trouble, Refused> = {
  key: refused(401, 'authentication_error', 'invalid x-api-key sk-secret-123456'),
  forbidden: refused(403, 'permission_error', 'Your key does not have permission to use the resource.'),
  model: refused(404, 'not_found_error', 'model: some-model'),
  limit: refused(
    429,
    'rate_limit_error',
    'This request would exceed your rate limit of 50 requests per minute.',
  ),
  quota: refused(
    400,
    'invalid_request_error',
    'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.',
  ),
  server: refused(500, 'api_error', 'Internal server error'),
  overload: refused(529, 'overloaded_error', 'Overloaded'),
  overflow: refused(400, 'invalid_request_error', 'prompt is too long: 210000 tokens > 200000 maximum'),
  invalid: refused(400, 'invalid_request_error', 'max_tokens: too large'),
}

/** Anthropic's messages. */
export const anthropic: Dialect = {
  name: 'anthropic',
  path: /^\/v1\/messages$/,
  header: { name: 'x-api-key', value: 'key-anthropic' },
  events: (said) => [
    event({
      type: 'message_start',
      message: {
        ...{ id: 'msg_1', type: 'message', role: 'assistant', model: 'some-model', content: [] },
        stop_reason: null,
        usage: { input_tokens: 40, cache_read_input_tokens: 60, output_tokens: 1 },
      },
    }),
    event({ type: 'ping' }),
    ...blocks(said),
    event({
      type: 'message_delta',
      delta: {
        stop_reason: said.calls
          ? 'tool_use'
          : { stop: 'end_turn', length: 'max_tokens', filter: 'refusal', refusal: 'refusal' }[
              said.end ?? 'stop'
            ],
      },
      usage: { output_tokens: 20 },
    }),
    event({ type: 'message_stop' }),
  ],
  errorEvent: event({
    type: 'error',
    error: { type: 'api_error', message: 'The server failed: sk-secret-123456' },
  }),
  refusal: (trouble) => refusals[trouble],
}
