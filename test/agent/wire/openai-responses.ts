import { type Dialect, halves, type Said, sse } from './dialect.ts'
import { openaiRefusals } from './openai-errors.ts'

const event = (data: { type: string } & Record<string, unknown>) => sse(data, data.type)

function reasoning(text: string): string[] {
  const item = { type: 'reasoning', id: 'rs_1', encrypted_content: 'sealed', summary: [] }
  const part = { item_id: 'rs_1', output_index: 0, summary_index: 0 }
  return [
    event({ type: 'response.output_item.added', output_index: 0, item }),
    event({ type: 'response.reasoning_summary_part.added', ...part }),
    ...halves(text).map((delta) => event({ type: 'response.reasoning_summary_text.delta', ...part, delta })),
    event({ type: 'response.reasoning_summary_part.done', ...part }),
    event({ type: 'response.output_item.done', output_index: 0, item }),
  ]
}

function message(text: string, isRefusal: boolean): string[] {
  const item = { type: 'message', id: 'msg_1', role: 'assistant', content: [] }
  const kind = isRefusal ? 'response.refusal' : 'response.output_text'
  const place = { item_id: 'msg_1', output_index: 1, content_index: 0 }
  return [
    event({ type: 'response.output_item.added', output_index: 1, item }),
    ...halves(text).map((delta) => event({ type: `${kind}.delta`, ...place, delta })),
    ...(isRefusal ? [event({ type: 'response.refusal.done', ...place, refusal: text })] : []),
    event({ type: 'response.output_item.done', output_index: 1, item }),
  ]
}

function call({ id, name, args }: NonNullable<Said['calls']>[number], at: number): string[] {
  const item = { type: 'function_call', id: `fc_${at}`, call_id: id, name, arguments: '' }
  const output_index = 2 + at
  const text = JSON.stringify(args)
  return [
    event({ type: 'response.output_item.added', output_index, item }),
    event({ type: 'response.function_call_arguments.delta', item_id: item.id, output_index, delta: text }),
    event({
      type: 'response.output_item.done',
      output_index,
      item: { ...item, arguments: text, status: 'completed' },
    }),
  ]
}

function last({ end }: Said): string {
  const usage = {
    input_tokens: 100,
    input_tokens_details: { cached_tokens: 60 },
    output_tokens: 20,
    output_tokens_details: { reasoning_tokens: 5 },
  }
  const reason = { length: 'max_output_tokens', filter: 'content_filter', stop: '', refusal: '' }[
    end ?? 'stop'
  ]
  const response = { id: 'resp_1', usage, ...(reason ? { incomplete_details: { reason } } : {}) }
  return event({ type: reason ? 'response.incomplete' : 'response.completed', response })
}

/** OpenAI's responses. */
export const openaiResponses: Dialect = {
  name: 'openai',
  path: /^\/v1\/responses$/,
  header: { name: 'authorization', value: 'Bearer key-openai' },
  events: (said) => [
    event({ type: 'response.created', response: { id: 'resp_1', created_at: 1, model: 'some-model' } }),
    ...(said.reasoning ? reasoning(said.reasoning) : []),
    ...(said.text ? message(said.text, said.end === 'refusal') : []),
    ...(said.calls ?? []).flatMap(call),
    last(said),
  ],
  errorEvent: event({
    type: 'error',
    sequence_number: 3,
    error: {
      type: 'server_error',
      code: 'server_error',
      message: 'The server had an error: sk-secret-123456',
      param: null,
    },
  }),
  refusal: (trouble) => openaiRefusals[trouble],
}
