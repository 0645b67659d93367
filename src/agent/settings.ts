import { isOneOf, list, number, object } from './environment.ts'
import { SettingsError } from './settings-error.ts'

export const PROVIDERS = ['openai', 'anthropic', 'google', 'compatible'] as const
export type ProviderName = (typeof PROVIDERS)[number]

export const REASONING_EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const
export type ReasoningEffort = (typeof REASONING_EFFORTS)[number]

/** One model, and all that its provider may know of this deployment. */
export interface ModelSettings {
  provider: ProviderName
  model: string
  baseUrl: string
  /** Absent: the server needs none. */
  apiKey?: string
  headers?: Record<string, string>
}

/** Everything about the agent that may differ from one deployment to the next. */
export interface AgentSettings {
  /** The model that answers, then those that are asked when it cannot; none: the offline model answers. */
  models: ModelSettings[]
  offline: { wordMs: number; faults: boolean }
  /** What is asked of every model; absent: the provider decides. */
  maxOutputTokens?: number
  temperature?: number
  reasoning?: ReasoningEffort
  /** Options by provider, in the AI SDK's names. */
  providerOptions: Record<string, Record<string, never>>
  /** Model calls in one turn, tool loops included. */
  maxSteps: number
  /** Repetitions of a model call whose stream could not be opened. */
  maxRetries: number
  /** Silence of the provider, and run time of one tool, after which the turn or the call is given up. */
  timeouts: { firstChunkMs: number; chunkMs: number; toolMs: number }
  /** Characters of a tool's output as JSON; a longer one is cut. */
  toolOutputMax: number
  /** Origins that the tool `http_request` may call; none: the model does not have the tool. */
  httpOrigins: string[]
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
 * @throws SettingsError that names every variable with a fault
 */
export function readAgentSettings(env: Environment): AgentSettings {
  const faults: string[] = []
  const read = <T>(name: string, parse: (text: string) => T | string, fallback: T): T => {
    const text = env[name]
    if (!text) return fallback
    const value = parse(text)
    // Faults are sentences; a setting whose value is itself a text has no parser.
    if (typeof value !== 'string') return value
    faults.push(`${name}: ${value}`)
    return fallback
  }
  const seconds = (name: string, fallback: number) => read(name, number(1, 3600), fallback) * 1000
  const optional = <Name extends string, T>(name: Name, value: T | undefined) =>
    (value === undefined ? {} : { [name]: value }) as { [key in Name]?: T }

  const headers = read<Record<string, string> | undefined>('AGENT_MODEL_HEADERS', object('string'), undefined)
  const settings: AgentSettings = {
    models: readModels(env, headers, faults),
    offline: {
      wordMs: read('AGENT_OFFLINE_WORD_MS', number(0, 10_000), 15),
      faults: env.AGENT_OFFLINE_FAULTS === '1',
    },
    ...optional('maxOutputTokens', read('AGENT_MAX_OUTPUT_TOKENS', number(1, 1_000_000), undefined)),
    ...optional('temperature', read('AGENT_TEMPERATURE', number(0, 2, { fractions: true }), undefined)),
    ...optional('reasoning', readEffort(env.AGENT_REASONING_EFFORT, faults)),
    providerOptions: read('AGENT_MODEL_OPTIONS', object('object'), {}) as AgentSettings['providerOptions'],
    maxSteps: read('AGENT_MAX_STEPS', number(1, 100), 8),
    maxRetries: read('AGENT_MAX_RETRIES', number(0, 10), 2),
    timeouts: {
      firstChunkMs: seconds('AGENT_FIRST_TOKEN_TIMEOUT_SECONDS', 60),
      chunkMs: seconds('AGENT_TOKEN_TIMEOUT_SECONDS', 60),
      toolMs: seconds('AGENT_TOOL_TIMEOUT_SECONDS', 30),
    },
    toolOutputMax: read('AGENT_TOOL_OUTPUT_MAX', number(1000, 1_000_000), 50_000),
    httpOrigins: readOrigins(env.AGENT_HTTP_ALLOWED_ORIGINS, faults),
  }
  if (faults.length > 0) throw new SettingsError(faults.join('; '))
  return settings
}

/** What is wrong with an environment, one sentence a variable. */
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
 * `provider:model`; a name without one of the four prefixes is of the provider `compatible` (and may have a colon
 * itself, as Ollama's have). `AGENT_MODEL_API_KEY`, `_BASE_URL` and `_HEADERS` belong to the provider of AGENT_MODEL
 * alone; every provider has variables of its own, so no key can reach another provider.
 */
function readModels(
  env: Environment,
  headers: Record<string, string> | undefined,
  faults: string[],
): ModelSettings[] {
  const [main, ...others] = [env.AGENT_MODEL, ...list(env.AGENT_MODEL_FALLBACK)]
  if (!main) {
    if (others.length > 0) faults.push('AGENT_MODEL_FALLBACK: needs AGENT_MODEL')
    return []
  }
  const first = parseName(main).provider
  return [main, ...others].map((name, at) => {
    const { provider, model } = parseName(name)
    const own = `AGENT_${provider.toUpperCase()}`
    const mainly = provider === first
    const apiKey = env[`${own}_API_KEY`] || (mainly ? env.AGENT_MODEL_API_KEY : undefined)
    const ownUrl = env[`${own}_BASE_URL`] || (mainly ? env.AGENT_MODEL_BASE_URL : undefined)
    const variable = at === 0 ? 'AGENT_MODEL' : 'AGENT_MODEL_FALLBACK'
    if (!model) faults.push(`${variable}: names a provider without a model`)
    if (!apiKey && !ownUrl)
      faults.push(
        mainly
          ? `AGENT_MODEL_API_KEY: is required with ${variable}, unless AGENT_MODEL_BASE_URL needs none`
          : `${own}_API_KEY: is required for a model of this provider in ${variable}`,
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
