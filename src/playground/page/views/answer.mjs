import { html } from 'htm/preact'
import { Actions } from './actions.mjs'
import { Facts } from './facts.mjs'
import { Part } from './part.mjs'

/** The answer of a run: stored, or as it is written. */
export function Answer({ message, run, live, isLast, session, deeds }) {
  const parts = live?.parts ?? message?.parts ?? []
  const error = live?.error ?? message?.error ?? (message === undefined ? run?.error : undefined)
  const actions = run?.pendingActions ?? []
  return html`
    <article class="answer" aria-label="Answer of the agent" aria-busy=${live === undefined ? 'false' : 'true'}>
      ${parts.map((part, index) => html`<${Part} key=${part.toolCallId ?? index} part=${part} />`)}
      ${error !== undefined && html`<p class="problem">${error}</p>`}
      ${message?.status === 'cancelled' && html`<p class="hint">Cancelled.</p>`}
      ${message === undefined && html`<p class="hint state">${stateOf(run, live)}</p>`}
      ${actions.map(
        (action) =>
          html`<${Actions} key=${action.actionId} action=${action} runId=${run.runId} deeds=${deeds} />`,
      )}
      <p class="row">
        ${
          isLast &&
          run !== undefined &&
          actions.length === 0 &&
          html`<button type="button" class="small" onClick=${() => deeds.retry(run.runId)}>Answer again</button>`
        }
        ${
          message !== undefined &&
          html`<button type="button" class="small" onClick=${() => deeds.fork(message.id)}>Fork from here</button>`
        }
      </p>
      ${run !== undefined && html`<${Facts} run=${run} session=${session} />`}
    </article>`
}

function stateOf({ status, queue, cancelRequestedAt }, live) {
  if (cancelRequestedAt !== undefined) return 'Stopping …'
  if (status === 'running' || live?.hasBegun) return 'Working …'
  if (status !== 'queued') return status
  return queue?.position > 0 ? `Queued: ${queue.position} ahead` : 'Queued: next to run'
}
