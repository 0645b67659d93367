import { faultTools } from '../offline/fault-tools.ts'
import type { AgentSettings } from '../settings.ts'
import { calculate } from './calculate.ts'
import { currentTime } from './current-time.ts'
import { createHttpRequest } from './http-request.ts'
import type { AgentTool } from './tool.ts'

type Needed = Pick<AgentSettings, 'models' | 'offline' | 'httpOrigins'>

/** The agent's tools by the names that the model calls them. */
export function createTools({ models, offline, httpOrigins }: Needed): Record<string, AgentTool> {
  const hasFaults = models.length === 0 && offline.faults
  return {
    calculate,
    current_time: currentTime,
    ...(httpOrigins.length > 0 ? { http_request: createHttpRequest({ origins: httpOrigins }) } : {}),
    ...(hasFaults ? faultTools : {}),
  }
}
