import { Webhook } from 'standardwebhooks'
import { test } from 'tap'
import { verifyWebhook } from '../../clients/typescript/src/index.ts'
import { secretOf } from '../support/receiver.ts'
import { python, skip } from './python.ts'

const BODY = JSON.stringify({
  type: 'run.completed',
  timestamp: 'now',
  data: { userId: 'Zoë', runId: 'run_1' },
})

function delivery(secret: string, sent = new Date()) {
  return {
    'webhook-id': 'delivery-1',
    'webhook-timestamp': String(Math.floor(sent.getTime() / 1_000)),
    'webhook-signature': new Webhook(secret).sign('delivery-1', sent, BODY),
  }
}

const headers = delivery(secretOf('old'))
const late = delivery(secretOf('old'), new Date(Date.now() - 400_000))
/** Deliveries that a client has to refuse. */
const REFUSED: [what: string, body: string, headers: Record<string, string>, secrets: string[]][] = [
  ['another secret', BODY, headers, [secretOf('other')]],
  ['another body', `${BODY} `, headers, [secretOf('old')]],
  ['another id', BODY, { ...headers, 'webhook-id': 'delivery-2' }, [secretOf('old')]],
  ['five minutes late', BODY, late, [secretOf('old')]],
  ['no timestamp', BODY, { ...headers, 'webhook-timestamp': 'now' }, [secretOf('old')]],
  ['no signature', BODY, { ...headers, 'webhook-signature': 'v1,AAAA v1a,x v1,%' }, [secretOf('old')]],
  ['no headers', BODY, {}, [secretOf('old')]],
]
/** One that was signed while a secret was replaced. */
const rotated = {
  ...headers,
  'webhook-signature': `${delivery(secretOf('new'))['webhook-signature']} ${headers['webhook-signature']}`,
}

test('TypeScript verifies what the reference library signs, and nothing else', async (t) => {
  for (const given of [headers, rotated, new Headers(headers)])
    t.same(await verifyWebhook(BODY, given, [secretOf('old')]), JSON.parse(BODY))
  const bytes = new TextEncoder().encode(BODY)
  t.same(await verifyWebhook(bytes, headers, [secretOf('new'), secretOf('old')]), JSON.parse(BODY))
  for (const [what, body, given, secrets] of REFUSED)
    await t.rejects(verifyWebhook(body, given, secrets), { code: 'invalid_webhook' }, what)
})

test('Python verifies the same', { skip }, async (t) => {
  const cases = [
    { body: BODY, headers, secrets: [secretOf('old')] },
    { body: BODY, headers: rotated, secrets: [secretOf('new'), secretOf('old')] },
    ...REFUSED.map(([, body, given, secrets]) => ({ body, headers: given, secrets })),
  ]
  const said = JSON.parse(await python(t, 'webhooks', { CASES: JSON.stringify(cases) }))
  t.same(said, [JSON.parse(BODY), JSON.parse(BODY), ...REFUSED.map(() => 'invalid_webhook')])
})
