import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import { addressOf } from '../api.mjs'
import { getLine } from '../curl.mjs'
import { Copied, CopyLine } from './copy.mjs'
import { Frames } from './frames.mjs'

const ms = (value) => (value === undefined ? undefined : `${value} ms`)

/** What is known of a run, by the names that people read. Facts that are not known are left out. */
const factsOf = ({ status, finishReason, errorCode, queue, model, steps, usage, timings, history }) => ({
  Status: status,
  'Finish reason': finishReason,
  'Error code': errorCode,
  'Queue position': queue?.position,
  Model: model,
  Steps: steps,
  Tokens:
    usage && `${usage.inputTokens} in, ${usage.outputTokens} out${usage.estimated ? ' (estimated)' : ''}`,
  Queued: ms(timings?.queuedMs),
  'First word': ms(timings?.firstTokenMs),
  Duration: ms(timings?.durationMs),
  History: history && `${history.sent} sent, ${history.summarized} summarized, ${history.dropped} dropped`,
})

const IDS = {
  Run: 'runId',
  Conversation: 'conversationId',
  'Retry of': 'retryOf',
  'Superseded by': 'supersededBy',
  Continues: 'continues',
  'Continued by': 'continuedBy',
}

export function Facts({ run, session }) {
  const [isOpen, setOpen] = useState(false)
  const [showsFrames, setFrames] = useState(false)
  const known = (facts) => Object.entries(facts).filter(([, value]) => value !== undefined)
  const ids = known(Object.fromEntries(Object.entries(IDS).map(([name, field]) => [name, run[field]])))
  return html`
    <details class="facts" onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary>Run: ${run.status}</summary>
      ${
        isOpen &&
        html`
          <dl>
            ${known(factsOf(run)).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
            ${ids.map(([name, id]) => html`<div key=${name}><dt>${name}</dt><dd><${Copied} text=${id} /></dd></div>`)}
          </dl>
          <${CopyLine} name="Poll with curl" text=${getLine(addressOf(`/api/agent/chat/${run.runId}`))} />
          <button type="button" class="small" aria-expanded=${String(showsFrames)} onClick=${() => setFrames(!showsFrames)}>
            Raw frames
          </button>
          ${showsFrames && html`<${Frames} key=${run.runId} runId=${run.runId} session=${session} />`}`
      }
    </details>`
}
