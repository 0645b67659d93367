import type { Refused, Trouble } from './dialect.ts'

const refused = (status: number, type: string, code: string | null, message: string): Refused => ({
  status,
  body: { error: { message, type, param: null, code } },
})

/** The errors of OpenAI, which compatible servers send too. */
export const openaiRefusals: Record<Trouble, Refused> = {
  key: refused(
    401,
    'invalid_request_error',
    'invalid_api_key',
    'Incorrect API key provided: sk-secret-123456.',
  ),
  forbidden: refused(
    403,
    'request_forbidden',
    'unsupported_country_region_territory',
    'Country not supported',
  ),
  model: refused(404, 'invalid_request_error', 'model_not_found', 'The model `some-model` does not exist.'),
  limit: refused(
    429,
    'requests',
    'rate_limit_exceeded',
    'Rate limit reached for some-model: Limit 3, Used 3.',
  ),
  quota: refused(
    429,
    'insufficient_quota',
    'insufficient_quota',
    'You exceeded your current quota, please check your plan and billing details.',
  ),
  server: refused(500, 'server_error', null, 'The server had an error while processing your request.'),
  overload: refused(503, 'server_error', null, 'That model is currently overloaded with other requests.'),
  overflow: refused(
    400,
    'invalid_request_error',
    'context_length_exceeded',
    "This model's maximum context length is 8192 tokens.",
  ),
  invalid: refused(400, 'invalid_request_error', null, "Invalid value: 'x'."),
}
