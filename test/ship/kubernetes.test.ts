import { globSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import manifest from '../../package.json' with { type: 'json' }
import { loadConfig } from '../../src/config/config.ts'
import { SECRETS } from '../../src/config/secret-files.ts'
import { Settings } from '../../src/config/settings.ts'
import { testApp } from '../support/app.ts'

// biome-ignore lint/suspicious/noExplicitAny: the tests read fields of manifests without a type
type Manifest = any

const ROOT = 'ops/kubernetes'
const files = globSync(`${ROOT}/*/*.yaml`).sort()
const read = (file: string): Manifest => parse(readFileSync(file, 'utf8'))
const manifests: Manifest[] = files.filter((file) => basename(file) !== 'kustomization.yaml').map(read)
const only = (kind: string): Manifest => {
  const found = manifests.filter((one) => one.kind === kind)
  if (found.length !== 1) throw new Error(`${found.length} of kind ${kind}`)
  return found[0]
}
const deployment = only('Deployment')
const pod = deployment.spec.template
const [container] = pod.spec.containers
const job = only('Job')
const [migration] = job.spec.template.spec.containers
const { data: settings } = only('ConfigMap')

/** Whether labels are selected by `matchLabels`. */
const selects = (selector: Record<string, string>, labels: Record<string, string>) =>
  Object.keys(selector).length > 0 && Object.entries(selector).every(([key, value]) => labels[key] === value)

test('kustomize finds every manifest, each of a kind and version that clusters serve', (t) => {
  for (const folder of readdirSync(ROOT)) {
    const { namespace, resources } = read(join(ROOT, folder, 'kustomization.yaml'))
    const others = files.filter((file) => dirname(file) === join(ROOT, folder)).map((file) => basename(file))
    t.strictSame(
      resources.toSorted(),
      others.filter((file) => file !== 'kustomization.yaml'),
    )
    t.equal(namespace, only('Namespace').metadata.name)
  }
  t.strictSame(manifests.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`).sort(), [
    'apps/v1 Deployment',
    'autoscaling/v2 HorizontalPodAutoscaler',
    'batch/v1 Job',
    'monitoring.coreos.com/v1 PodMonitor',
    'networking.k8s.io/v1 NetworkPolicy',
    'policy/v1 PodDisruptionBudget',
    'v1 ConfigMap',
    'v1 Namespace',
    'v1 Service',
    'v1 ServiceAccount',
  ])
  t.end()
})

test('the service and its migration are one image, of the version in package.json', (t) => {
  const images = ['service', 'migration'].map(
    (folder) => read(join(ROOT, folder, 'kustomization.yaml')).images,
  )
  t.strictSame(images[0], images[1])
  t.equal(images[0][0].name, container.image)
  t.equal(images[0][0].name, migration.image)
  t.equal(images[0][0].newTag, manifest.version)
  t.strictSame(migration.command, ['node', 'src/bin/migrate.ts'])
  t.notOk('command' in container, "the image's own command")
  t.end()
})

test('everything that selects the instances selects them', (t) => {
  const { labels } = pod.metadata
  for (const kind of ['PodDisruptionBudget', 'PodMonitor'])
    t.ok(selects(only(kind).spec.selector.matchLabels, labels), kind)
  t.ok(selects(deployment.spec.selector.matchLabels, labels))
  t.ok(selects(only('Service').spec.selector, labels))
  t.notOk(
    selects(only('Service').spec.selector, job.spec.template.metadata.labels),
    'a migration takes no calls',
  )
  const [spread] = pod.spec.topologySpreadConstraints
  t.ok(selects(spread.labelSelector.matchLabels, labels))
  const { podSelector } = only('NetworkPolicy').spec
  for (const one of [labels, job.spec.template.metadata.labels]) t.ok(selects(podSelector.matchLabels, one))
  const { kind, name } = only('HorizontalPodAutoscaler').spec.scaleTargetRef
  t.strictSame([kind, name], ['Deployment', deployment.metadata.name])
  t.notOk('replicas' in deployment.spec, 'the autoscaler would be overruled at every rollout')
  for (const { serviceAccountName } of [pod.spec, job.spec.template.spec])
    t.equal(serviceAccountName, only('ServiceAccount').metadata.name)
  t.end()
})

test('ports are those on which the service listens, and metrics are closed to callers', (t) => {
  const port = (name: string) =>
    container.ports.find((one: Manifest) => one.name === name)?.containerPort as number
  t.equal(port('http'), loadConfig({}).port, 'the image does not change the default')
  t.equal(String(port('metrics')), settings.METRICS_PORT)
  const [published, ...more] = only('Service').spec.ports
  t.equal(published.targetPort, 'http')
  t.strictSame(more, [])
  t.strictSame(
    only('PodMonitor').spec.podMetricsEndpoints.map(({ port, path }: Manifest) => [port, path]),
    [['metrics', '/metrics']],
  )
  const [callers, prometheus] = only('NetworkPolicy').spec.ingress
  t.strictSame(callers, { ports: [{ port: port('http'), protocol: 'TCP' }] })
  t.strictSame(prometheus.ports, [{ port: port('metrics'), protocol: 'TCP' }])
  t.equal(prometheus.from.length, 1)
  t.end()
})

test('probes ask for addresses of the service, and its end has the time that it needs', async (t) => {
  const app = testApp(t)
  await app.ready()
  const paths = { startupProbe: '/livez', livenessProbe: '/livez', readinessProbe: '/readyz' }
  for (const [probe, path] of Object.entries(paths)) {
    t.match(container[probe].httpGet, { path, port: 'http' })
    t.ok(app.hasRoute({ method: 'GET', url: path }), path)
  }
  const { readinessProbe } = container
  const config = loadConfig({ ...settings, ...secretValues(), NODE_ENV: 'production' })
  t.ok(pod.spec.terminationGracePeriodSeconds > config.shutdownTimeoutSeconds)
  t.ok(
    readinessProbe.periodSeconds * readinessProbe.failureThreshold <= config.shutdownDelaySeconds,
    'readiness has said no before the service stops listening',
  )
  t.notOk('lifecycle' in container, 'no preStop hook: the service waits by itself')
})

/** Stand-ins for what is in the Secret. */
function secretValues(): Record<string, string> {
  const values: Record<string, string> = {
    DATABASE_URL: 'postgres://database/agent',
    TRIGGER_SECRET_KEY: 'tr_prod_1',
    REDIS_URL: 'redis://cache:6379',
  }
  return Object.fromEntries(
    container.env.map(({ name }: Manifest) => [
      name.replace(/_FILE$/, ''),
      values[name.replace(/_FILE$/, '')],
    ]),
  )
}

test('every setting exists, together they are complete, and secrets are files of the mounted Secret', (t) => {
  const variables = [...Object.keys(settings), ...container.env.map(({ name }: Manifest) => name)]
  t.strictSame(
    variables.filter((name) => !(name in Settings.properties)),
    [],
  )
  t.match(loadConfig({ ...settings, ...secretValues(), NODE_ENV: 'production' }), {
    production: true,
    plainHttp: [],
  })
  t.strictSame(
    Object.keys(settings).filter((name) => SECRETS.includes(name)),
    [],
    'no secret is in the ConfigMap',
  )
  for (const spec of [pod.spec, job.spec.template.spec]) {
    const [{ env, volumeMounts }] = spec.containers
    const [mount] = volumeMounts
    for (const { name, value } of env) {
      t.match(name, /_FILE$/)
      t.equal(dirname(value), mount.mountPath, name)
    }
    t.equal(spec.volumes[0].name, mount.name)
    t.equal(spec.volumes[0].secret.secretName, deployment.metadata.name)
  }
  const guide = readFileSync('docs/operations.md', 'utf8')
  for (const { value } of [...container.env, ...migration.env])
    t.match(guide, `--from-file=${basename(value)}`, 'the guide makes the Secret')
  t.end()
})

test('containers run with the least rights, and with limits', (t) => {
  for (const spec of [pod.spec, job.spec.template.spec]) {
    t.match(spec, {
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          resources: { requests: { cpu: String, memory: String }, limits: { memory: /^\d+Mi$/ } },
        },
      ],
    })
  }
  t.end()
})

test('as many instances as the autoscaler makes fit the database and Trigger.dev', (t) => {
  const { minReplicas, maxReplicas } = only('HorizontalPodAutoscaler').spec
  t.ok(minReplicas >= 2, 'one instance may end')
  t.ok(maxReplicas * Number(settings.DATABASE_POOL_MAX) < 97, "Postgres' default for ordinary roles")
  t.ok(maxReplicas * Number(settings.TRIGGER_CALLS_PER_MINUTE) <= 1500, 'the limit of Trigger.dev Cloud')
  t.end()
})
