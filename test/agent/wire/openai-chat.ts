import { type Dialect, halves, type Said, sse } from './dialect.ts'
import { openaiRefusals } from './openai-errors.ts'

const chunk = (delta: object, finish_reason: string | null = null) =>
  sse({
    id: 'c1',
    object: 'chat.completion.chunk',
    model: 'some-model',
    choices: [{ index: 0, delta, finish_reason }],
  })

function finishOf({ end = 'stop', calls }: Said): string {
  if (calls) return 'tool_calls'
  return { stop: 'stop', length: 'length', filter: 'content_filter', refusal: 'stop' }[end]
}

/** OpenAI's chat completions, as compatible servers speak them. */
export const openaiChat: Dialect = {
  name: 'compatible',
  path: /^\/v1\/chat\/completions$/,
  header: { name: 'authorization', value: 'Bearer key-compatible' },
  events: (said) => [
    chunk({ role: 'assistant', content: '' }),
    ...halves(said.reasoning ?? '').map((reasoning_content) => chunk({ reasoning_content })),
    ...halves(said.text ?? '').map((content) =>
      chunk(said.end === 'refusal' ? { refusal: content } : { content }),
    ),
    ...(said.calls ?? []).map(({ id, name, args }, index) =>
      chunk({
        tool_calls: [{ index, id, type: 'function', function: { name, arguments: JSON.stringify(args) } }],
      }),
    ),
    chunk({}, finishOf(said)),
    sse({
      id: 'c1',
      choices: [],
      usage: {
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 120,
        prompt_tokens_details: { cached_tokens: 60 },
        completion_tokens_details: { reasoning_tokens: 5 },
      },
    }),
    sse('[DONE]'),
  ],
  errorEvent: sse({ error: { message: 'The server had an error: sk-secret-123456', type: 'server_error' } }),
  refusal: (trouble) => openaiRefusals[trouble],
}
