import { existsSync, readFileSync } from 'node:fs'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { test } from 'tap'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config/config.ts'
import { SECRETS } from '../../src/config/secret-files.ts'
import { Settings } from '../../src/config/settings.ts'
import { startProcess } from '../support/process.ts'

interface Service {
  profiles?: string[]
  image: string
  command?: string[]
  environment: Record<string, string>
  depends_on?: Record<string, { condition: string; required?: boolean }>
  healthcheck?: object
  volumes?: string[]
  stop_grace_period?: string
  read_only?: boolean
  ports?: string[]
  secrets?: string[]
  restart?: string
  logging?: { driver: string; options: Record<string, string> }
  deploy?: { resources: { limits: { cpus: string; memory: string; pids: number } } }
}

interface Compose {
  services: Record<string, Service>
  volumes: Record<string, unknown>
  secrets: Record<string, { file: string }>
}

const plain = parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }) as Compose

/** `${NAME:-default}` and `${NAME:+instead}` filled in as compose does it. */
function withVariables(variables: Record<string, string>): Compose {
  const filled = JSON.stringify(plain).replaceAll(
    /\$\{(\w+)(?::([-+])([^}]*))?\}/g,
    (_all, name, kind, other = '') =>
      kind === '+' ? (variables[name] ? other : '') : variables[name] || other,
  )
  return JSON.parse(filled)
}

const isOurs = ({ image }: Service) => image.includes('AGENT_CHAT_IMAGE')
const own = Object.entries(plain.services).filter(([, service]) => isOurs(service))

test('docker-compose.yml is valid by the Compose Specification', (t) => {
  // Not strict: the schema has keywords of its own.
  const ajv = new Ajv({ strict: false, allErrors: true })
  // It is a CommonJS module whose types say otherwise.
  ;(addFormats as unknown as typeof addFormats.default)(ajv)
  const schema = JSON.parse(readFileSync('test/ship/compose-spec.json', 'utf8'))
  const validate = ajv.compile({ ...schema, $schema: 'http://json-schema.org/draft-07/schema#' })
  t.equal(validate(plain), true, ajv.errorsText(validate.errors))
  t.equal(validate({ ...plain, services: { broken: { ports: 'all' } } }), false, 'the schema does look')
  t.end()
})

test('nothing starts before what it needs is healthy, or has done its work', (t) => {
  for (const [name, { depends_on = {} }] of Object.entries(plain.services)) {
    for (const [needed, { condition }] of Object.entries(depends_on)) {
      const target = plain.services[needed]
      t.ok(target, `${name} depends on ${needed}`)
      t.ok(['service_healthy', 'service_completed_successfully'].includes(condition), `${name} → ${needed}`)
      if (condition === 'service_healthy') t.ok(target?.healthcheck, `${needed} has a health check`)
      else t.match(target?.command, ['node', 'src/bin/migrate.ts'], `${needed} ends`)
    }
  }
  t.end()
})

test('the default needs no variable at all, and is complete', (t) => {
  const { services } = withVariables({})
  const service = services['agent-chat']
  const config = loadConfig(service?.environment ?? {})
  t.match(config.database.url, /^postgres:\/\/agent_chat:[\w-]+@postgres:5432\/agent_chat$/)
  t.equal(config.trigger.apiUrl, services.engine?.environment.LOCAL_ENGINE_URL)
  t.equal(config.trigger.secretKey, services.engine?.environment.TRIGGER_SECRET_KEY)
  t.equal(config.production, false, 'the signing secret is the embedded one')
  t.equal(services.migrate?.environment.DATABASE_URL, config.database.url)
  t.match(config.database.url, String(services.postgres?.environment.POSTGRES_PASSWORD))
  t.end()
})

/** What compose starts: the named services, or all of the profiles, and what they need of these. */
function started(profiles: string[], ...named: string[]): string[] {
  const isOn = (name: string) => {
    const { profiles: own = [] } = plain.services[name] ?? {}
    return own.length === 0 || own.some((profile) => profiles.includes(profile))
  }
  const all = new Set(named.length > 0 ? named : Object.keys(plain.services).filter(isOn))
  for (const name of all) {
    for (const [needed, { required = true }] of Object.entries(plain.services[name]?.depends_on ?? {})) {
      if (isOn(needed)) all.add(needed)
      else if (required) throw new Error(`${name} needs ${needed}, which is not in ${profiles}`)
    }
  }
  return [...all].sort()
}

test('the default is complete by itself; the profile runs without any of it, on stores of its own if asked to', (t) => {
  t.strictSame(started([]), ['agent-chat', 'engine', 'migrate', 'postgres', 'valkey'])
  t.strictSame(started(['trigger'], 'agent-chat-trigger'), ['agent-chat-trigger', 'migrate-trigger'])
  t.strictSame(started(['trigger', 'stores'], 'agent-chat-trigger'), [
    'agent-chat-trigger',
    'migrate-trigger',
    'postgres-trigger',
    'valkey-trigger',
  ])
  const guide = readFileSync('docs/trigger.md', 'utf8')
  for (const profiles of ['--profile trigger', '--profile trigger --profile stores'])
    t.match(guide, `${profiles} up -d agent-chat-trigger`, 'the guide names the service with the profile')
  t.end()
})

const PRODUCTION = ['agent-chat-trigger', 'migrate-trigger']
/** The image's own, or those of the embedded parts and their worker. */
const LOCAL = /^(HOST|PORT|LOCAL_DATA_DIR|AGENT_\w+)$/

test('in production every setting is passed through, and none that is a secret has a default', (t) => {
  for (const name of PRODUCTION) {
    const { environment = {} } = plain.services[name] ?? {}
    t.strictSame(
      Object.keys(environment).sort(),
      Object.keys(Settings.properties)
        .filter((setting) => !LOCAL.test(setting))
        .sort(),
      name,
    )
    for (const [setting, value] of Object.entries(environment)) {
      const fallback = { METRICS_PORT: '9464' }[setting] ?? ''
      const secret = setting.match(/^(.*)_FILE$/)?.[1]
      const passed = secret === undefined ? `:-${fallback}` : `:+/run/secrets/${secret}`
      t.equal(value, setting === 'NODE_ENV' ? 'production' : `\${${setting}${passed}}`)
    }
  }
  const stores = withVariables({}).services['postgres-trigger']
  t.equal(stores?.environment.POSTGRES_PASSWORD, '', 'nor has the password of its own Postgres')
  t.end()
})

test('in production what is missing is named at once, by the migration that comes first', async (t) => {
  const { services } = withVariables({})
  for (const name of PRODUCTION) {
    const { environment = {}, command = ['node', 'src/bin/server.ts'] } = services[name] ?? {}
    const { ended, output } = startProcess(t, [process.execPath, ...command.slice(1)], { environment })
    t.equal((await ended).code, 1)
    for (const missing of ['DATABASE_URL', 'TRIGGER_SECRET_KEY', 'AUTH_JWT_SECRET or AUTH_JWKS_URL'])
      t.match(output(), `${missing}:`, name)
  }

  const complete = withVariables({
    DATABASE_URL: 'postgres://somewhere/db',
    TRIGGER_SECRET_KEY: 'tr_prod_x',
    TRIGGER_API_URL: 'http://trigger:3030',
    AUTH_JWT_SECRET: 'x'.repeat(32),
    TRIGGER_CALLS_PER_MINUTE: '600',
  })
  const config = loadConfig(complete.services['agent-chat-trigger']?.environment ?? {})
  t.match(config, { production: true, trigger: { apiUrl: 'http://trigger:3030', callsPerMinute: 600 } })
})

test('every variable is one that its process reads', (t) => {
  const engine = /^(LOCAL_ENGINE_(HOST|PORT|URL|CONCURRENCY)|TRIGGER_SECRET_KEY|LOG_LEVEL|AGENT_\w+)$/
  for (const [name, { environment, command }] of own) {
    const known = (variable: string) =>
      command?.includes('src/local/engine/main.ts') ? engine.test(variable) : variable in Settings.properties
    t.strictSame(
      Object.keys(environment).filter((variable) => !known(variable)),
      [],
      name,
    )
  }
  t.end()
})

test('our containers cannot write to their root, named volumes exist, and the drain has its time', (t) => {
  for (const [name, service] of own) t.equal(service.read_only, true, name)
  const sources = Object.values(plain.services).flatMap(({ volumes = [] }) =>
    volumes.map((of) => of.split(':')[0] ?? ''),
  )
  const isFile = (source: string) => source.startsWith('./')
  t.strictSame(sources.filter((source) => !isFile(source)).sort(), Object.keys(plain.volumes).sort())
  for (const source of sources.filter(isFile)) t.ok(existsSync(source), source)
  const { services } = withVariables({})
  for (const name of ['agent-chat', 'agent-chat-trigger']) {
    const grace = Number.parseInt(services[name]?.stop_grace_period ?? '', 10)
    t.ok(grace > loadConfig({}).shutdownTimeoutSeconds, name)
  }
  t.end()
})

test('a secret may be a file of this machine, which the service reads where it is mounted', (t) => {
  for (const name of PRODUCTION) {
    const { secrets = [], environment = {} } = plain.services[name] ?? {}
    const inFiles = SECRETS.filter((secret) => !LOCAL.test(secret))
    t.strictSame(secrets.toSorted(), inFiles.toSorted(), name)
    t.ok(inFiles.every((secret) => `${secret}_FILE` in environment))
  }
  const unset = withVariables({})
  for (const [name, { file }] of Object.entries(unset.secrets)) {
    t.ok(existsSync(file), `${name}: something to mount while it is not used`)
    t.ok(Object.values(plain.services).some(({ secrets = [] }) => secrets.includes(name)))
  }
  const files = Object.fromEntries(
    Object.keys(unset.secrets).map((name) => [`${name}_FILE`, `./private/${name}`]),
  )
  const set = withVariables(files)
  for (const name of SECRETS.filter((secret) => !LOCAL.test(secret))) {
    const variable = `${name}_FILE`
    t.equal(unset.services['agent-chat-trigger']?.environment[variable], '')
    t.equal(set.services['agent-chat-trigger']?.environment[variable], `/run/secrets/${name}`)
    t.equal(set.secrets[name]?.file, `./private/${name}`)
  }
  t.equal(
    set.services['postgres-trigger']?.environment.POSTGRES_PASSWORD_FILE,
    '/run/secrets/POSTGRES_PASSWORD',
  )
  t.end()
})

test('every container has limits, its log is rotated, and no port is open to the network by default', (t) => {
  for (const [name, { deploy, logging, ports = [] }] of Object.entries(withVariables({}).services)) {
    const { cpus, memory, pids } = deploy?.resources.limits ?? {}
    t.match(
      { cpus, memory, pids },
      { cpus: /^\d+$/, memory: /^\d+[MG]$/, pids: Number },
      `${name} has limits`,
    )
    t.match(logging, { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '5' } }, name)
    for (const port of ports) t.match(port, /^127\.0\.0\.1:\d+:\d+$/, name)
  }
  t.end()
})

test('the profile "observe" scrapes the service and shows its dashboard, by images of an exact version', (t) => {
  t.strictSame(started(['observe']), [...started([]), 'grafana', 'prometheus'].sort())
  t.strictSame(started(['trigger', 'observe'], 'agent-chat-trigger', 'prometheus', 'grafana'), [
    'agent-chat-trigger',
    'grafana',
    'migrate-trigger',
    'prometheus',
  ])
  const { services } = withVariables({})
  for (const [name, { image }] of Object.entries(services))
    if (!image.startsWith('agent-chat')) t.match(image, /^[\w/.-]+:v?\d+/, `${name} has a version`)
  for (const name of ['prometheus', 'grafana']) t.match(services[name]?.image, /:v?\d+\.\d+\.\d+$/)

  const mounts = (name: string) => services[name]?.volumes?.map((volume) => volume.split(':')) ?? []
  const scraper = parse(readFileSync('ops/compose/prometheus.yml', 'utf8'))
  const [{ job_name, dns_sd_configs }] = scraper.scrape_configs
  for (const name of dns_sd_configs[0].names)
    t.equal(services[name]?.environment.METRICS_PORT, String(dns_sd_configs[0].port), name)
  for (const file of scraper.rule_files)
    t.ok(
      mounts('prometheus').some(([, at]) => at === file),
      file,
    )
  t.match(
    readFileSync('ops/grafana/agent-chat-service.json', 'utf8'),
    /label_values\(agent_chat_build_info, job\)/,
  )
  t.equal(job_name, 'agent-chat-service')

  const [provider] = parse(
    readFileSync('ops/grafana/provisioning/dashboards/agent-chat-service.yml', 'utf8'),
  ).providers
  t.ok(
    mounts('grafana').some(
      ([, at = '']) => at.startsWith(`${provider.options.path}/`) && at.endsWith('.json'),
    ),
  )
  const [source] = parse(
    readFileSync('ops/grafana/provisioning/datasources/prometheus.yml', 'utf8'),
  ).datasources
  t.equal(source.url, 'http://prometheus:9090')
  t.end()
})
