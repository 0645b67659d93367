/** Everything about the agent that may differ from one deployment to the next. */
export interface AgentSettings {
  /** An OpenAI-compatible provider; without it the offline model answers. */
  provider?: { model: string; baseUrl: string; apiKey?: string }
  offline: { wordMs: number; faults: boolean }
  /** Model calls in one turn, tool loops included. */
  maxSteps: number
  /** Repetitions of a model call whose stream could not be opened. */
  maxRetries: number
  /** Silence of the provider, and run time of one tool, after which the turn or the call is given up. */
  timeouts: { firstChunkMs: number; chunkMs: number; toolMs: number }
}

const OPENAI = 'https://api.openai.com/v1'

/**
 * Reads the agent's settings from a worker's environment: `AGENT_MODEL`, `AGENT_MODEL_BASE_URL` (OpenAI's by
 * default), `AGENT_MODEL_API_KEY` (a server of one's own may do without; any other refuses the turn, `provider_auth`), `AGENT_OFFLINE_WORD_MS` (15),
 * `AGENT_OFFLINE_FAULTS` (`1`: messages may ask for failures; tests only).
 */
export function readAgentSettings(env: Record<string, string | undefined>): AgentSettings {
  const { AGENT_MODEL: model, AGENT_MODEL_BASE_URL: baseUrl, AGENT_MODEL_API_KEY: apiKey } = env
  return {
    ...(model ? { provider: { model, baseUrl: baseUrl || OPENAI, ...(apiKey ? { apiKey } : {}) } } : {}),
    offline: {
      wordMs: milliseconds(env.AGENT_OFFLINE_WORD_MS, 15),
      faults: env.AGENT_OFFLINE_FAULTS === '1',
    },
    maxSteps: 8,
    maxRetries: 2,
    timeouts: { firstChunkMs: 60_000, chunkMs: 60_000, toolMs: 30_000 },
  }
}

function milliseconds(text: string | undefined, fallback: number): number {
  const value = Number(text || fallback)
  return Number.isFinite(value) && value >= 0 ? value : fallback
}
