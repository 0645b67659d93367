import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse } from 'yaml'
import { PAYLOAD_VERSION } from '../../src/agent/turn.ts'
import { withTable } from '../../src/bin/settings-table.ts'
import { SWEEP_BATCH } from '../../src/services/upkeep/sweeper.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { testApp } from '../support/app.ts'

const guide = readFileSync('docs/operations.md', 'utf8')
const alerts = parse(readFileSync('ops/alerts.yml', 'utf8')) as {
  groups: Array<{ rules: Array<{ alert: string; expr: string; labels: { severity: string } }> }>
}
const dashboard = JSON.parse(readFileSync('ops/grafana/agent-chat-service.json', 'utf8')) as {
  panels: Array<{ title: string; targets: Array<{ expr: string }> }>
}
const rules = alerts.groups.flatMap((group) => group.rules)
const panels = dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr })))

/** Every series that the service exposes, with its labels. */
async function exposed(): Promise<Map<string, Set<string>>> {
  const metrics = createMetrics('0')
  metrics.read({
    pool: () => ({ total: 1, idle: 1, waiting: 0 }),
    poolMax: 1,
    uncounted: () => 0,
    streams: () => ({ viewers: 0, logs: 0 }),
    sweeps: () => ({ sweeperLagSeconds: 0, oldestUnfinishedSeconds: 0, unfinished: 0 }),
    feed: () => ({ viewers: 0, heldSeconds: 0 }),
    webhooks: () => ({ overdueSeconds: 0, off: [] }),
    components: async () => ({ database: 'ok' }),
  })
  const series = new Map<string, Set<string>>()
  for (const { name, type } of await metrics.registry.getMetricsAsJSON()) {
    const metric = metrics.registry.getSingleMetric(name) as unknown as { labelNames: string[] }
    const suffixes = String(type) === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
    for (const suffix of suffixes) series.set(name + suffix, new Set([...metric.labelNames, 'le']))
  }
  return series
}

/** What Prometheus itself, or the dashboard's own query, adds. */
const ADDED = new Set(['job', 'instance'])

test('the dashboard and the alerts ask for nothing that does not exist', async (t) => {
  const series = await exposed()
  const queries = [...panels, ...rules.map(({ alert, expr }) => ({ title: alert, expr }))]
  t.ok(queries.length > 30)
  for (const { title, expr } of queries) {
    const names = expr.match(/\b(agent_chat|process|nodejs)_\w+/g) ?? []
    t.ok(names.length > 0, title)
    const unknown = names.filter((name) => !series.has(name))
    t.strictSame(unknown, [], title)
    for (const [, name = '', selector = ''] of expr.matchAll(/\b(\w+)\{([^}]*)\}/g)) {
      const labels = [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label)
      t.strictSame(
        labels.filter((label) => !ADDED.has(label) && !series.get(name)?.has(label)),
        [],
        `${title}: labels of ${name}`,
      )
    }
    const balance = [...expr].reduce((open, sign) => open + (sign === '(' ? 1 : sign === ')' ? -1 : 0), 0)
    t.equal(balance, 0, `${title}: brackets`)
  }
})

test('probes count neither as load nor as errors', (t) => {
  const queries = [...panels, ...rules.map(({ alert, expr }) => ({ title: alert, expr }))]
  const selectors = queries.flatMap(({ title, expr }) =>
    [...expr.matchAll(/agent_chat_http_request_duration_seconds_\w+(\{[^}]*\})?/g)].map(([, of]) => ({
      title,
      of,
    })),
  )
  t.ok(selectors.length >= 7)
  for (const { title, of } of selectors) t.match(of ?? '', 'route!~"/livez|/readyz"', title)
  t.end()
})

test('every component of readiness is named in the guide', async (t) => {
  const app = testApp(t)
  await app.ready()
  const { components } = await app.health.readiness()
  // Added by the process, which alone knows when it looks at the schema.
  for (const name of [...Object.keys(components), 'migrations', 'keySet'])
    t.match(guide.slice(guide.indexOf('## Probes'), guide.indexOf('## Metrics')), `\`${name}\``)
})

test('every metric of the service is on the dashboard', async (t) => {
  const shown = panels.map(({ expr }) => expr).join(' ')
  const own = [...(await exposed()).keys()].filter((name) => name.startsWith('agent_chat_'))
  const bare = new Set(own.map((name) => name.replace(/_(bucket|sum|count)$/, '')))
  // The version, and what is in flight, are for questions asked by hand.
  for (const name of ['agent_chat_build_info', 'agent_chat_http_requests_in_flight']) bare.delete(name)
  t.strictSame(
    [...bare].filter((name) => !shown.includes(name)),
    [],
  )
})

test('every alert has its page in the runbook, and every page its alert', (t) => {
  const pages = [...guide.matchAll(/^### (AgentChat\w+)$/gm)].map(([, name]) => name)
  t.strictSame(pages.sort(), rules.map(({ alert }) => alert).sort())
  t.end()
})

test('the table of alerts has every rule with its severity, in the order of the rules', (t) => {
  const table = guide.slice(guide.indexOf('## Alerts'), guide.indexOf('## Runbook'))
  const rows = [...table.matchAll(/^\| \[(\w+)\]\(#(\w+)\) \| (\w+) \|/gm)]
  t.strictSame(
    rows.map(([, alert, page, severity]) => ({ alert, page, severity })),
    rules.map(({ alert, labels }) => ({ alert, page: alert.toLowerCase(), severity: labels.severity })),
  )
  t.end()
})

test('the sizes of the sweeper in the guide are those of the code', (t) => {
  t.match(guide, `up to ${SWEEP_BATCH} due runs at a time`)
  t.end()
})

test('the settings in the guide are those of the schema: node src/bin/settings-table.ts', (t) => {
  t.equal(guide, withTable(guide))
  t.end()
})

test('the changelog names the versions that the code has', (t) => {
  const unreleased = readFileSync('CHANGELOG.md', 'utf8').match(/^## Unreleased\n\n(.+)$/m)?.[1] ?? ''
  const newest = readdirSync('migrations')
    .map((name) => /^(\d{4})_.*\.ts$/.exec(name)?.[1] ?? '')
    .sort()
    .at(-1)
  t.match(unreleased, `database ${newest}`)
  t.match(unreleased, `worker payload ${PAYLOAD_VERSION}`)
  t.end()
})
