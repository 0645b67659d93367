import { isOneOf, list, number, object } from './environment.ts'
import { type McpServer, parseServers } from './mcp/servers.ts'
import { SettingsError } from './settings-error.ts'

export const PROVIDERS = ['openai', 'anthropic', 'google', 'compatible'] as const
export type ProviderName = (typeof PROVIDERS)[number]

export const REASONING_EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const
export type ReasoningEffort = (typeof REASONING_EFFORTS)[number]

/** One model, with the address, the key and the headers of its provider. */
export interface ModelSettings {
  provider: ProviderName
  model: string
  baseUrl: string
  /** Absent when the server needs no key. */
  apiKey?: string
  headers?: Record<string, string>
}

/** The settings of the agent, which may differ from one deployment to the next. */
export interface AgentSettings {
  /** The main model, then its fallbacks in their order. When the list is empty, the offline model answers. */
  models: ModelSettings[]
  offline: { wordMs: number; faults: boolean }
  /** This setting and the next two hold for every model. When one is absent, the provider decides. */
  maxOutputTokens?: number
  temperature?: number
  reasoning?: ReasoningEffort
  /** The AI SDK's provider options, by the AI SDK's name of the provider. */
  providerOptions: Record<string, Record<string, never>>
  /** Model calls in one turn, tool loops included. */
  maxSteps: number
  /** Tokens of one turn, input and output of all its model calls; unlimited when absent. */
  maxTotalTokens?: number
  /** Tokens of one prompt. When absent, a prompt has as many messages as a payload. */
  contextTokens?: number
  /** Repetitions of a model call whose stream could not be opened. */
  maxRetries: number
  /** Limits of a provider's silence, which fails the turn, and of a tool call's time, which fails the call. */
  timeouts: { firstChunkMs: number; chunkMs: number; toolMs: number }
  /** Characters of a tool's output as JSON; a longer one is cut. */
  toolOutputMax: number
  /** Milliseconds after which a call that waits for an answer counts as denied. */
  actionTtlMs: number
  /** Origins that the tool `http_request` may call. When the list is empty, the model does not have the tool. */
  httpOrigins: string[]
  /** Servers whose tools agents have beside their own. */
  mcpServers: McpServer[]
}

type Environment = Record<string, string | undefined>

const BASE_URLS: Record<ProviderName, string> = {
  openai: 'https://api.openai.com/v1',
  anthropic: 'https://api.anthropic.com/v1',
  google: 'https://generativelanguage.googleapis.com/v1beta',
  compatible: 'https://api.openai.com/v1',
}

/**
 * Reads the agent's settings from a worker's environment; docs/agent.md lists the variables.
 * @param own models that the agent names itself, instead of those of the environment
 * @throws SettingsError that names every variable with a fault
 */
export function readAgentSettings(env: Environment, own?: string[]): AgentSettings {
  const faults: string[] = []
  const read = <T>(name: string, parse: (text: string) => T | string, fallback: T): T => {
    const text = env[name]
    if (!text) return fallback
    const value = parse(text)
    // A parser returns a string only for a fault, because no parsed setting has a string as its value.
    if (typeof value !== 'string') return value
    faults.push(`${name}: ${value}`)
    return fallback
  }
  const seconds = (name: string, fallback: number) => read(name, number(1, 3600), fallback) * 1000
  const optional = <Name extends string, T>(name: Name, value: T | undefined) =>
    (value === undefined ? {} : { [name]: value }) as { [key in Name]?: T }

  const headers = read<Record<string, string> | undefined>('AGENT_MODEL_HEADERS', object('string'), undefined)
  const settings: AgentSettings = {
    models: readModels(env, { headers, own }, faults),
    offline: {
      wordMs: read('AGENT_OFFLINE_WORD_MS', number(0, 10_000), 15),
      faults: env.AGENT_OFFLINE_FAULTS === '1',
    },
    ...optional('maxOutputTokens', read('AGENT_MAX_OUTPUT_TOKENS', number(1, 1_000_000), undefined)),
    ...optional('temperature', read('AGENT_TEMPERATURE', number(0, 2, { fractions: true }), undefined)),
    ...optional('reasoning', readEffort(env.AGENT_REASONING_EFFORT, faults)),
    providerOptions: read('AGENT_MODEL_OPTIONS', object('object'), {}) as AgentSettings['providerOptions'],
    maxSteps: read('AGENT_MAX_STEPS', number(1, 100), 8),
    ...optional('maxTotalTokens', read('AGENT_MAX_TOTAL_TOKENS', number(1, 100_000_000), undefined)),
    ...optional('contextTokens', read('AGENT_CONTEXT_TOKENS', number(1000, 100_000_000), undefined)),
    maxRetries: read('AGENT_MAX_RETRIES', number(0, 10), 2),
    timeouts: {
      firstChunkMs: seconds('AGENT_FIRST_TOKEN_TIMEOUT_SECONDS', 60),
      chunkMs: seconds('AGENT_TOKEN_TIMEOUT_SECONDS', 60),
      toolMs: seconds('AGENT_TOOL_TIMEOUT_SECONDS', 30),
    },
    actionTtlMs: read('AGENT_ACTION_TTL_SECONDS', number(10, 30 * 86_400), 86_400) * 1000,
    toolOutputMax: read('AGENT_TOOL_OUTPUT_MAX', number(1000, 1_000_000), 50_000),
    httpOrigins: readOrigins(env.AGENT_HTTP_ALLOWED_ORIGINS, faults),
    mcpServers: read('AGENT_MCP_SERVERS', parseServers(env), []),
  }
  if (faults.length > 0) throw new SettingsError(faults.join('; '))
  return settings
}

/** The faults of the agent's variables in an environment, one sentence for each. */
export function agentFaults(env: Environment): string[] {
  try {
    readAgentSettings(env)
    return []
  } catch (error) {
    if (error instanceof SettingsError) return error.message.split('; ')
    throw error
  }
}

/**
 * Reads the models, each named `provider:model`. A name without one of the four prefixes belongs to the provider
 * `compatible`, and may have a colon itself, as Ollama's names have. `AGENT_MODEL_API_KEY`, `_BASE_URL` and `_HEADERS`
 * belong to the provider of AGENT_MODEL alone. Each provider has variables of its own, so that no key reaches another
 * provider.
 */
function readModels(
  env: Environment,
  { headers, own }: { headers: Record<string, string> | undefined; own: string[] | undefined },
  faults: string[],
): ModelSettings[] {
  const [main, ...others] = [env.AGENT_MODEL, ...list(env.AGENT_MODEL_FALLBACK)]
  if (!main && others.length > 0) faults.push('AGENT_MODEL_FALLBACK: needs AGENT_MODEL')
  const first = main ? parseName(main).provider : undefined
  const names = own ?? (main ? [main, ...others] : [])
  return names.map((name, at) => {
    const { provider, model } = parseName(name)
    const variables = `AGENT_${provider.toUpperCase()}`
    const mainly = provider === first
    const apiKey = env[`${variables}_API_KEY`] || (mainly ? env.AGENT_MODEL_API_KEY : undefined)
    const ownUrl = env[`${variables}_BASE_URL`] || (mainly ? env.AGENT_MODEL_BASE_URL : undefined)
    const variable =
      own === undefined ? (at === 0 ? 'AGENT_MODEL' : 'AGENT_MODEL_FALLBACK') : 'the models of the agent'
    if (!model) faults.push(`${variable}: names a provider without a model`)
    if (!apiKey && !ownUrl)
      faults.push(
        mainly
          ? `AGENT_MODEL_API_KEY: is required with ${variable}, unless AGENT_MODEL_BASE_URL needs none`
          : `${variables}_API_KEY: is required for a model of this provider in ${variable}`,
      )
    return {
      provider,
      model,
      baseUrl: (ownUrl || BASE_URLS[provider]).replace(/\/+$/, ''),
      ...(apiKey ? { apiKey } : {}),
      ...(mainly && headers ? { headers } : {}),
    }
  })
}

function parseName(name: string): { provider: ProviderName; model: string } {
  const colon = name.indexOf(':')
  const prefix = name.slice(0, Math.max(colon, 0))
  return isOneOf(PROVIDERS, prefix)
    ? { provider: prefix, model: name.slice(colon + 1).trim() }
    : { provider: 'compatible', model: name.trim() }
}

function readEffort(text: string | undefined, faults: string[]): ReasoningEffort | undefined {
  if (!text) return undefined
  if (isOneOf(REASONING_EFFORTS, text)) return text
  faults.push(`AGENT_REASONING_EFFORT: must be one of ${REASONING_EFFORTS.join(', ')}`)
  return undefined
}

function readOrigins(text: string | undefined, faults: string[]): string[] {
  const origins = list(text)
  const isOrigin = (item: string) =>
    /^https?:/.test(item) && URL.canParse(item) && new URL(item).origin === item
  if (!origins.every(isOrigin))
    faults.push('AGENT_HTTP_ALLOWED_ORIGINS: must be a list like https://api.example.com (no path, no slash)')
  return origins
}
