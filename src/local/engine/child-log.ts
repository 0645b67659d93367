import { flattenAttributes, taskContext } from '@trigger.dev/core/v3'
import type { OtelTaskLogger } from '@trigger.dev/core/v3/workers'

type OtelLogger = ConstructorParameters<typeof OtelTaskLogger>[0]['logger']

/** Longer lines are cut: a log line is for reading, and it goes through the parent's memory. */
const MAX_LINE = 8192

/**
 * Takes what a task writes to its console and logger (core hands both to an OpenTelemetry logger) and sends it
 * to the parent with the id of the run.
 */
export function runLog(send: (runId: string, level: string, message: string) => void): OtelLogger {
  return {
    enabled: () => true,
    emit({ severityText = 'info', body, attributes }) {
      const extra = Object.entries(flattenAttributes(attributes)).filter(([key]) => !key.startsWith('$'))
      const text =
        extra.length === 0 ? String(body) : `${String(body)} ${JSON.stringify(Object.fromEntries(extra))}`
      send(taskContext.ctx?.run.id ?? '', severityText.toLowerCase(), text.slice(0, MAX_LINE))
    },
  }
}
