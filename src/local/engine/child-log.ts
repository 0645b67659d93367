import { flattenAttributes, taskContext } from '@trigger.dev/core/v3'
import type { OtelTaskLogger } from '@trigger.dev/core/v3/workers'
import { PrintBudget } from './printed-lines.ts'

type OtelLogger = ConstructorParameters<typeof OtelTaskLogger>[0]['logger']
type Entry = Parameters<OtelLogger['emit']>[0]
type Send = (runId: string, level: string, message: string) => void

/**
 * Sends the lines that a task writes to its console and its logger to the parent, with the id of the run, up to the
 * bounds of `PrintBudget`. Core hands both kinds of lines to an OpenTelemetry logger.
 */
export class RunLog implements OtelLogger {
  readonly #send: Send
  readonly #budget = new PrintBudget()

  constructor(send: Send) {
    this.#send = send
  }

  /** Starts a new budget for the next run. */
  begin(): void {
    this.#budget.reset()
  }

  enabled(): boolean {
    return true
  }

  emit({ severityText = 'info', body, attributes }: Entry): void {
    const extra = Object.entries(flattenAttributes(attributes)).filter(([key]) => !key.startsWith('$'))
    const text =
      extra.length === 0 ? String(body) : `${String(body)} ${JSON.stringify(Object.fromEntries(extra))}`
    const line = this.#budget.take(text)
    if (line !== undefined) this.#send(taskContext.ctx?.run.id ?? '', severityText.toLowerCase(), line)
  }
}
