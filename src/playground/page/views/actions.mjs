import { html } from 'htm/preact'
import { useState } from 'preact/hooks'
import { Block } from './part.mjs'

/** What the agent asks the person: whether a tool may run, or the result of a tool that the caller has. */
export function Actions({ action, runId, deeds }) {
  const { toolName, args, kind, message, expiresAt } = action
  const [text, setText] = useState('')
  const [isSent, setSent] = useState(false)
  const decide = async (decision) => {
    setSent(true)
    if (!(await deeds.decide(action, runId, decision))) setSent(false)
  }
  const reason = text.trim() === '' ? {} : { reason: text }
  const isApproval = kind === 'approval'
  return html`
    <section class="action" aria-label=${`Decision about the tool ${toolName}`}>
      <p>${message ?? (isApproval ? `May the agent use the tool ${toolName}?` : `What does the tool ${toolName} answer?`)}</p>
      <${Block} name="Arguments" text=${JSON.stringify(args, null, 2)} />
      <p class="hint">Open until ${new Date(expiresAt).toLocaleString()}.</p>
      <label>
        ${isApproval ? 'Reason (optional)' : 'Result: JSON, or a text'}
        <input value=${text} onInput=${(event) => setText(event.currentTarget.value)} />
      </label>
      <p class="row">
        ${
          isApproval
            ? html`
              <button
                type="button"
                class="primary"
                disabled=${isSent}
                onClick=${() => decide({ decision: 'approve', ...reason })}
              >Approve</button>
              <button
                type="button"
                class="danger"
                disabled=${isSent}
                onClick=${() => decide({ decision: 'deny', ...reason })}
              >Deny</button>`
            : html`
              <button
                type="button"
                class="primary"
                disabled=${isSent}
                onClick=${() => decide({ output: parsed(text) })}
              >Send the result</button>
              <button type="button" class="danger" disabled=${isSent} onClick=${() => decide({ error: text || 'The tool has failed.' })}>
                It has failed
              </button>`
        }
      </p>
    </section>`
}

function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
