import { faultTools } from '../offline/fault-tools.ts'
import type { AgentSettings } from '../settings.ts'
import { calculate } from './calculate.ts'
import { currentTime } from './current-time.ts'
import type { AgentTool } from './tool.ts'

/** The agent's tools by the names that the model calls them. */
export function createTools(settings: Pick<AgentSettings, 'models' | 'offline'>): Record<string, AgentTool> {
  const hasFaults = settings.models.length === 0 && settings.offline.faults
  return { calculate, current_time: currentTime, ...(hasFaults ? faultTools : {}) }
}
