import { test } from 'tap'
import { until } from '../services/rows.ts'
import { openFeed } from '../support/feed-client.ts'
import { startReceiver, webhookSettings } from '../support/receiver.ts'
import { scrape, valueIn } from '../support/scrape.ts'
import { startService } from '../support/service.ts'

const ATTEMPTS = 'agent_chat_webhook_attempts_total'

test('attempts are counted by receiver and outcome, and endpoints that are off are named', async (t) => {
  const receiver = await startReceiver(t)
  const answers: Record<string, number> = { '/good': 204, '/busy': 500, '/gone': 410, '/own': 204 }
  receiver.answer(({ path }, response) => void response.writeHead(answers[path] ?? 404).end())
  const endpoints = ['good', 'busy', 'gone'].map((name) => ({ name, url: `${receiver.origin}/${name}` }))
  const service = await startService(t, {
    environment: { ...webhookSettings(endpoints, [receiver.origin]), METRICS_PORT: '0' },
  })
  const value = async (name: string, labels?: Record<string, string>) =>
    valueIn(await scrape(service), name, labels)
  for (const name of ['good', 'busy', 'gone', 'start'])
    t.equal(await value(ATTEMPTS, { receiver: name, outcome: 'delivered' }), 0, 'a series begins with 0')
  const feed = await openFeed(service)
  t.equal(await value('agent_chat_feed_viewers'), 1)
  feed.leave()

  const body = { message: 'hi', webhook: { url: `${receiver.origin}/own` } }
  await service.call('POST', '/api/agent/chat/sync', { body })
  const counted = (of: string, outcome: string) =>
    until(async () => ((await value(ATTEMPTS, { receiver: of, outcome })) ?? 0) >= 1)
  await counted('good', 'delivered')
  await counted('start', 'delivered')
  await counted('busy', 'retried')
  await counted('gone', 'given_up')
  t.ok(Number(await value('agent_chat_webhook_attempt_duration_seconds_count', { receiver: 'good' })) >= 1)
  await until(async () => (await value('agent_chat_webhook_endpoint_off', { receiver: 'gone' })) === 1)
  t.equal(await value('agent_chat_webhook_endpoint_off', { receiver: 'good' }), undefined)
  t.ok(Number(await value('agent_chat_webhook_overdue_seconds')) < 60)
})
