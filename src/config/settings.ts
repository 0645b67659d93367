import { type Static, Type } from '@sinclair/typebox'

const optional = Type.Optional
const integer = (description: string, minimum: number, maximum: number, fallback?: number) =>
  Type.Integer({ description, minimum, maximum, ...(fallback === undefined ? {} : { default: fallback }) })
const text = (description: string, fallback?: string) =>
  Type.String({ description, minLength: 1, ...(fallback === undefined ? {} : { default: fallback }) })
const flag = (description: string) => Type.Boolean({ description, default: false })
const url = (description: string, schemes: string[], fallback?: string) =>
  Type.String({ description, schemes, ...(fallback === undefined ? {} : { default: fallback }) })
const secretFile = (name: string) => optional(text(`File that holds ${name}, instead of the variable`))
const HTTP = ['https', 'http']

export const DEFAULT_DATA_DIR = '.data'

/** Every variable of the environment that the service reads. It ignores all others. */
export const Settings = Type.Object({
  NODE_ENV: optional(
    text(
      '`production` refuses embedded defaults: what is missing stops the start. Other spellings of it are faults',
    ),
  ),
  PORT: integer('Port of the API; 0 picks a free one', 0, 65535, 3000),
  HOST: text('Address to listen on; the image sets 0.0.0.0', '127.0.0.1'),
  LOG_LEVEL: Type.Union(
    ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].map((level) => Type.Literal(level)),
    { description: 'Least level that is logged', default: 'info' },
  ),
  LOG_CONTENT: flag('Log the texts of messages too'),
  DATABASE_URL: optional(url('Postgres 14 or newer; embedded when unset', ['postgres', 'postgresql'])),
  DATABASE_URL_FILE: secretFile('DATABASE_URL'),
  DATABASE_POOL_MAX: integer('Connections of one instance', 2, 200, 10),
  TRIGGER_SECRET_KEY: optional(text('Secret key of the Trigger.dev environment; local engine when unset')),
  TRIGGER_SECRET_KEY_FILE: secretFile('TRIGGER_SECRET_KEY'),
  TRIGGER_API_URL: url('Address of Trigger.dev', HTTP, 'https://api.trigger.dev'),
  TRIGGER_LARGE_PAYLOADS: flag(
    'The Trigger.dev server has an object store: messages over 120 KiB are accepted',
  ),
  TRIGGER_CALLS_PER_MINUTE: integer(
    'Calls to Trigger.dev that one instance allows itself; 0: no limit',
    0,
    1_000_000,
    1200,
  ),
  TRIGGER_LIST_LAG_MS: integer(
    "Milliseconds by which Trigger.dev's lists may lag behind: a start without an answer is repeated only after that",
    0,
    60_000,
    3_000,
  ),
  AUTH_JWT_SECRET: optional(text('HS256 secrets of at least 32 bytes, comma-separated to rotate')),
  AUTH_JWT_SECRET_FILE: secretFile('AUTH_JWT_SECRET'),
  AUTH_JWKS_URL: optional(url('Key set for RS256, ES256 and EdDSA tokens', HTTP)),
  AUTH_ISSUER: optional(text('Required `iss` of every token')),
  AUTH_AUDIENCE: optional(text('Required `aud` of every token')),
  AUTH_SCOPE_CLAIMS: text(
    'Claims that hold the scopes of a token, comma-separated; each is words with spaces between them, or an array',
    'scope,scopes,scp,permissions',
  ),
  AUTH_AGENT_SCOPES: optional(
    text(
      'Agents, comma-separated, that only tokens with the scope `agent:use:<name>` may use; `*` for all. Every token with `agent:write` may use the others',
    ),
  ),
  AUTH_FAILURE_MAX: integer('Bad tokens per address and minute before 429', 1, 1_000_000, 100),
  REDIS_URL: optional(url('Shares the rate limits between instances', ['redis', 'rediss'])),
  REDIS_URL_FILE: secretFile('REDIS_URL'),
  RATE_LIMIT_START_MAX: integer('Starts per user and window', 1, 1_000_000, 30),
  RATE_LIMIT_READ_MAX: integer('Reads per user and window', 1, 1_000_000, 600),
  RATE_LIMIT_ACTOR_MAX: optional(
    integer("Requests per actor and window; 20 times the user's limit when unset", 1, 100_000_000),
  ),
  RATE_LIMIT_WINDOW_SECONDS: integer('Length of the window in seconds', 1, 86_400, 60),
  BUDGET_TOKENS_PER_USER_DAY: optional(
    integer('Tokens that the runs of a user may use on one day (UTC); no budget when unset', 1, 1e12),
  ),
  BUDGET_TOKENS_PER_ACTOR_DAY: optional(
    integer('Tokens that the runs of an actor may use on one day (UTC); no budget when unset', 1, 1e12),
  ),
  BUDGET_TOKENS_PER_RUN: integer(
    'Tokens that a start reserves of these budgets, at most a whole budget; a run that has used as many stops, and a start for which fewer are left is refused',
    1,
    1e12,
    50_000,
  ),
  TRUST_PROXY: optional(text('`true`, a number of hops, or addresses whose X-Forwarded-For is believed')),
  CORS_ORIGINS: optional(
    text(
      'Origins that browsers may call from, comma-separated, as browsers write them: `https://app.example`; `*` for all; off when unset',
    ),
  ),
  PUBLIC_URL: optional(
    url(
      'Address that callers use, with the path under which a proxy shows the service: `https://example.com/agents`. The proxy may take the path off or keep it',
      HTTP,
    ),
  ),
  KEEP_ALIVE_SECONDS: integer(
    'Seconds that an idle connection is kept; has to be longer than the idle time of the balancer in front',
    1,
    86_400,
    72,
  ),
  STREAMS_PER_USER_MAX: integer('Open streams of one user on one instance, and open feeds', 1, 100_000, 100),
  METRICS_PORT: optional(integer('Port of the Prometheus metrics; off when unset', 0, 65535)),
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(url('Where traces go by OTLP over HTTP; off when unset', HTTP)),
  OTEL_EXPORTER_OTLP_HEADERS: optional(
    text('Headers for the collector of traces, `name=value` pairs, comma-separated'),
  ),
  OTEL_EXPORTER_OTLP_HEADERS_FILE: secretFile('OTEL_EXPORTER_OTLP_HEADERS'),
  WEBHOOK_ENDPOINTS: optional(
    text(
      'JSON array of the endpoints that get webhooks: `name`, `url`, `secrets`, and as wanted `events`, `users`, `contents`: [see below](#webhooks)',
    ),
  ),
  WEBHOOK_ENDPOINTS_FILE: secretFile('WEBHOOK_ENDPOINTS'),
  WEBHOOK_SECRETS: optional(
    text('Secrets (`whsec_…`) that sign the webhooks of starts, comma-separated to rotate'),
  ),
  WEBHOOK_SECRETS_FILE: secretFile('WEBHOOK_SECRETS'),
  WEBHOOK_ALLOWED_ORIGINS: optional(
    text(
      'Origins that the `webhook` of a start may have, comma-separated; starts have no webhooks when unset',
    ),
  ),
  WEBHOOK_ALLOWED_ADDRESSES: optional(
    text(
      'Networks and addresses, comma-separated, to which webhooks may go although they are private, also by plain http: `10.1.0.0/16`',
    ),
  ),
  APPROVERS: Type.Union([Type.Literal('owner'), Type.Literal('scope')], {
    description:
      'Who may answer about tool calls that wait: `owner` is the user of the run alone, `scope` also a token with the scope `agent:approve`',
    default: 'owner',
  }),
  RETENTION_DAYS: integer('Days that finished runs and their idempotency keys are kept', 1, 36_500, 30),
  CONVERSATION_RETENTION_DAYS: optional(
    integer(
      'Days that a conversation is kept after its last activity; kept until it is deleted when unset',
      1,
      36_500,
    ),
  ),
  RUN_TTL_SECONDS: integer('Seconds that a run may wait for its execution', 10, 1_209_600, 3600),
  RUN_MAX_DURATION_SECONDS: integer('Seconds that a run may execute', 5, 86_400, 300),
  SHUTDOWN_TIMEOUT_SECONDS: integer('Seconds between SIGTERM and a forced end', 1, 3600, 25),
  SHUTDOWN_DELAY_SECONDS: optional(
    integer(
      'Seconds after SIGTERM in which only readiness says no. Unset: in production a fifth of the timeout, at most 5, else 0',
      0,
      3600,
    ),
  ),
  PLAYGROUND: optional(
    Type.Boolean({
      description:
        'The page under `/playground`, on which people talk with the agent. Unset: not in production, and everywhere else',
    }),
  ),
  LOCAL_DATA_DIR: text('Folder of the embedded database and secrets', DEFAULT_DATA_DIR),
  AGENT_MODEL: optional(
    text(
      'Model of the agent, `openai:…`, `anthropic:…`, `google:…` or `compatible:…`; the offline model when unset. This and all that follow are settings of the worker: [agent.md](agent.md#models)',
    ),
  ),
  AGENT_MODEL_API_KEY: optional(text('Key for the provider of AGENT_MODEL, and for no other')),
  AGENT_MODEL_API_KEY_FILE: secretFile('AGENT_MODEL_API_KEY'),
  AGENT_MODEL_BASE_URL: optional(url('Address of the provider of AGENT_MODEL', HTTP)),
  AGENT_MODEL_HEADERS: optional(text('JSON object of headers for the provider of AGENT_MODEL')),
  AGENT_MODEL_FALLBACK: optional(
    text('Models, comma-separated, that are asked when AGENT_MODEL cannot answer'),
  ),
  AGENT_MODEL_OPTIONS: optional(text("JSON object of options by provider, in the AI SDK's names")),
  AGENT_OPENAI_API_KEY: optional(text('Key for OpenAI, wherever one of its models is named')),
  AGENT_OPENAI_BASE_URL: optional(url('Address of OpenAI', HTTP)),
  AGENT_ANTHROPIC_API_KEY: optional(text('Key for Anthropic, wherever one of its models is named')),
  AGENT_ANTHROPIC_BASE_URL: optional(url('Address of Anthropic', HTTP)),
  AGENT_GOOGLE_API_KEY: optional(text('Key for Google, wherever one of its models is named')),
  AGENT_GOOGLE_BASE_URL: optional(url('Address of Google', HTTP)),
  AGENT_COMPATIBLE_API_KEY: optional(
    text('Key for the OpenAI-compatible server, wherever one of its models is named'),
  ),
  AGENT_COMPATIBLE_BASE_URL: optional(url('Address of the OpenAI-compatible server', HTTP)),
  AGENT_MAX_OUTPUT_TOKENS: optional(text('Most tokens of one answer of the model')),
  AGENT_TEMPERATURE: optional(text('Temperature, 0 to 2')),
  AGENT_REASONING_EFFORT: optional(text('none, minimal, low, medium, high, xhigh or max')),
  AGENT_MAX_STEPS: text('Calls of the model in one turn', '8'),
  AGENT_MAX_TOTAL_TOKENS: optional(
    text('Most tokens of one turn, input and output of all its calls; unlimited when unset'),
  ),
  AGENT_CONTEXT_TOKENS: optional(
    text('Most tokens of one prompt; when unset, a prompt has the newest 50 messages and 120 KiB'),
  ),
  AGENT_MAX_RETRIES: text('Repetitions of a model call that the provider did not begin to answer', '2'),
  AGENT_FIRST_TOKEN_TIMEOUT_SECONDS: text('Seconds until the first word of a model', '60'),
  AGENT_TOKEN_TIMEOUT_SECONDS: text('Seconds between two words of a model', '60'),
  AGENT_TOOL_TIMEOUT_SECONDS: text('Seconds that one call of a tool may take', '30'),
  AGENT_TOOL_OUTPUT_MAX: text("Characters of a tool's output; a longer one is cut", '50000'),
  AGENT_ACTION_TTL_SECONDS: text(
    'Seconds after which a tool call that waits for an answer counts as denied',
    '86400',
  ),
  AGENT_HTTP_ALLOWED_ORIGINS: optional(
    text('Origins that the tool `http_request` may call, comma-separated; no such tool when unset'),
  ),
  AGENT_MCP_SERVERS: optional(
    text(
      'JSON list of MCP servers whose tools agents have beside their own: [agent.md](agent.md#tools-of-mcp-servers)',
    ),
  ),
  AGENT_MCP_SERVERS_FILE: secretFile('AGENT_MCP_SERVERS'),
  AGENT_OFFLINE_WORD_MS: integer('Milliseconds per word of the offline model (worker)', 0, 10_000, 15),
})

export type Settings = Static<typeof Settings>
