import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { PROBLEMS, type ProblemCode, problem } from '../../src/errors.ts'
import { RUN_FAILURES } from '../../src/run-failures.ts'
import { problems as refusals } from '../../src/schemas/problem.ts'

const Explanation = Type.Object(
  {
    type: Type.String(),
    code: Type.String(),
    title: Type.String(),
    status: Type.Optional(Type.Integer({ description: 'Absent for the `errorCode` of a failed run' })),
    retryable: Type.Boolean({ description: 'Whether the unchanged request can succeed later' }),
    what: Type.String({ description: 'What happened' }),
    action: Type.String({ description: 'Who must act, and how' }),
  },
  { 'x-name': 'ProblemExplanation', description: 'What a problem code means' },
)

const problems: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/problems/:code', {
    config: { access: 'public' },
    schema: {
      operationId: 'explainProblem',
      summary: 'What a problem means',
      description:
        'What happened, who must act, and whether to repeat the request. The `type` of every refusal is the address of its explanation; the `errorCode` of a failed run is explained here too.',
      tags: ['operations'],
      params: Type.Object({
        code: Type.String({ description: 'The `code` of a refusal', examples: ['rate_limited'] }),
      }),
      response: {
        200: {
          description: 'The problem; a page when `Accept` asks for HTML.',
          content: {
            'application/json': { schema: Explanation },
            'text/html': { schema: Type.String() },
          },
        },
        ...refusals('not_found'),
      },
    },
    handler: async ({ params: { code }, headers }, reply) => {
      const explanation = explain(code, app.publicPath)
      if (explanation === undefined) throw problem('not_found')
      reply.headers({ 'cache-control': 'public, max-age=3600', vary: 'Accept' })
      if (!headers.accept?.includes('text/html')) return reply.send(explanation)
      return reply
        .type('text/html; charset=utf-8')
        .serializer(String)
        .send(page(explanation) as never)
    },
  })
}

/** A code of a refusal, or else of a failed run; `internal` is both, and means the same. */
function explain(code: string, base: string): (typeof Explanation)['static'] | undefined {
  const type = `${base}/problems/${code}`
  if (isCode(code)) return { type, code, ...PROBLEMS[code] }
  const failure = Object.hasOwn(RUN_FAILURES, code) ? RUN_FAILURES[code] : undefined
  if (failure === undefined) return undefined
  const { message: what, retryable, action } = failure
  return { type, code, title: `Run failed: ${code.replaceAll('_', ' ')}`, retryable, what, action }
}

const isCode = (code: string): code is ProblemCode => Object.hasOwn(PROBLEMS, code)

/** Only texts of the register are passed to this function. */
const page = ({
  code,
  title,
  status,
  retryable,
  what,
  action,
}: (typeof Explanation)['static']) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${title}</title>
<h1>${status === undefined ? title : `${status} ${title}`}</h1>
<p><code>${code}</code></p>
<p>${what}</p>
<p>${action}</p>
<p>${retryable ? 'The same request can succeed later.' : 'The same request will fail again.'}</p>
</html>
`

export default problems
