import type { AgentTurn } from '../turn.ts'

/** The pins with which the calls in the answer so far were asked for, by the names of their tools. */
export function pinsOf({ continues }: Pick<AgentTurn, 'continues'>): ReadonlyMap<string, string> {
  const pins = new Map<string, string>()
  for (const part of continues?.message.parts ?? []) {
    const { toolMetadata } = part as { toolMetadata?: { pin?: unknown } }
    if (part.type.startsWith('tool-') && typeof toolMetadata?.pin === 'string')
      pins.set(part.type.slice('tool-'.length), toolMetadata.pin)
  }
  return pins
}
