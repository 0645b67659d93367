import { askingTools } from '../../../agent/offline/asking-tools.ts'
import { faultTools } from '../../../agent/offline/fault-tools.ts'
import type { AgentSettings } from '../../../agent/settings.ts'
import { createHttpRequest } from '../../../agent/tools/http-request.ts'
import type { AgentTool } from '../../../agent/tools/tool.ts'
import { calculate } from './calculate.ts'
import { currentTime } from './current-time.ts'

type Needed = Pick<AgentSettings, 'models' | 'offline' | 'httpOrigins'>

/** The agent's tools by the names that the model calls them. */
export function createTools({ models, offline, httpOrigins }: Needed): Record<string, AgentTool> {
  const isOffline = models.length === 0
  return {
    calculate,
    current_time: currentTime,
    ...(httpOrigins.length > 0 ? { http_request: createHttpRequest({ origins: httpOrigins }) } : {}),
    ...(isOffline ? askingTools : {}),
    ...(isOffline && offline.faults ? faultTools : {}),
  }
}
