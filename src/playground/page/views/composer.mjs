import { html } from 'htm/preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { addressOf } from '../api.mjs'
import { postLine } from '../curl.mjs'
import { startBody } from '../deeds.mjs'
import { CopyLine } from './copy.mjs'

/** What becomes of a message while an answer is being written. */
const IF_BUSY = {
  enqueue: 'waits for its turn',
  steer: 'steers the answer',
  interrupt: 'interrupts the answer',
  reject: 'is refused',
}

export function Composer({ session, deeds, isBusy }) {
  const { isSending } = session.state
  const [text, setText] = useState('')
  const [ifBusy, setIfBusy] = useState('enqueue')
  const field = useRef(null)
  useEffect(() => field.current.focus(), [])

  const send = async (event) => {
    event.preventDefault()
    if (isSending || text.trim() === '') return
    if (await deeds.ask(text, ifBusy)) setText('')
  }
  const onKey = (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) send(event)
  }
  const body = startBody(session.state, text || 'What is 17 * 23?', ifBusy)
  return html`
    <form class="composer" onSubmit=${send}>
      <label for="message">Message</label>
      <textarea
        id="message"
        rows="3"
        maxlength="100000"
        aria-describedby="keys"
        ref=${field}
        value=${text}
        onInput=${(event) => setText(event.currentTarget.value)}
        onKeyDown=${onKey}
      ></textarea>
      <p class="row">
        <button type="submit" class="primary" disabled=${isSending}>Send</button>
        <button type="button" disabled=${!isBusy} onClick=${deeds.stop}>Stop</button>
        <label>
          While an answer is written, the message${' '}
          <select value=${ifBusy} onChange=${(event) => setIfBusy(event.currentTarget.value)}>
            ${Object.entries(IF_BUSY).map(([value, name]) => html`<option value=${value}>${name}</option>`)}
          </select>
        </label>
        <span id="keys" class="hint">Enter sends, Shift+Enter begins a line, Escape stops the answer.</span>
      </p>
      <details>
        <summary>This request with curl</summary>
        <${CopyLine} name="Start" text=${postLine(addressOf('/api/agent/chat'), body)} />
      </details>
    </form>`
}
