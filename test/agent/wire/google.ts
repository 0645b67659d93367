import { type Dialect, halves, type Refused, type Said, sse, type Trouble } from './dialect.ts'

const candidate = (parts: object[], finishReason?: string) =>
  sse({
    candidates: [{ index: 0, content: { role: 'model', parts }, ...(finishReason ? { finishReason } : {}) }],
    usageMetadata: {
      promptTokenCount: 100,
      cachedContentTokenCount: 60,
      candidatesTokenCount: 15,
      thoughtsTokenCount: 5,
      totalTokenCount: 120,
    },
    modelVersion: 'some-model',
  })

function last({ end = 'stop' }: Said): string {
  if (end === 'refusal') return sse({ promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } })
  return candidate([], { stop: 'STOP', length: 'MAX_TOKENS', filter: 'SAFETY' }[end])
}

const refused = (code: number, status: string, message: string, details: object[] = []): Refused => ({
  status: code,
  body: { error: { code, message, status, details } },
})
const quotaOf = (quotaId: string) => ({
  '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
  violations: [{ quotaId }],
})
const QUOTA = 'You exceeded your current quota, please check your plan and billing details.'

const refusals: Record<Trouble, Refused> = {
  key: refused(400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key. sk-secret-123456', [
    { reason: 'API_KEY_INVALID' },
  ]),
  forbidden: refused(403, 'PERMISSION_DENIED', 'The caller does not have permission'),
  model: refused(404, 'NOT_FOUND', 'models/some-model is not found for API version v1beta'),
  limit: refused(429, 'RESOURCE_EXHAUSTED', QUOTA, [quotaOf('GenerateRequestsPerMinutePerProjectPerModel')]),
  quota: refused(429, 'RESOURCE_EXHAUSTED', QUOTA, [quotaOf('GenerateRequestsPerDayPerProjectPerModel')]),
  server: refused(500, 'INTERNAL', 'An internal error has occurred.'),
  overload: refused(503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'),
  overflow: refused(
    400,
    'INVALID_ARGUMENT',
    'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
  ),
  invalid: refused(400, 'INVALID_ARGUMENT', 'Invalid JSON payload received.'),
}

/** Google's generateContent. */
export const google: Dialect = {
  name: 'google',
  path: /^\/v1beta\/models\/some-model:streamGenerateContent\?alt=sse$/,
  header: { name: 'x-goog-api-key', value: 'key-google' },
  events: (said) => [
    ...halves(said.reasoning ?? '').map((text) => candidate([{ text, thought: true }])),
    ...halves(said.end === 'refusal' ? '' : (said.text ?? '')).map((text) => candidate([{ text }])),
    ...(said.calls ?? []).map(({ name, args }) =>
      candidate([{ functionCall: { name, args }, thoughtSignature: 'sealed' }]),
    ),
    last(said),
  ],
  errorEvent: sse({
    error: { code: 500, message: 'The server failed: sk-secret-123456', status: 'INTERNAL' },
  }),
  refusal: (trouble) => refusals[trouble],
}
