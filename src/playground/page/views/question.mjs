import { html } from 'htm/preact'
import { useState } from 'preact/hooks'

export function Question({ message: { id, text, runId }, deeds }) {
  const [draft, setDraft] = useState(undefined)
  const save = async (event) => {
    event.preventDefault()
    if (await deeds.edit(id, draft)) setDraft(undefined)
  }
  const onKey = (event) => {
    if (event.key !== 'Escape') return
    event.stopPropagation()
    setDraft(undefined)
  }
  return html`
    <article class="question" aria-label="Your message">
      ${
        draft === undefined
          ? html`
            <p class="text">${text}</p>
            ${
              runId !== undefined &&
              html`<button type="button" class="small" onClick=${() => setDraft(text)}>Edit</button>`
            }`
          : html`
            <form onSubmit=${save} onKeyDown=${onKey}>
              <textarea
                aria-label="The message that replaces this one and everything after it"
                rows="3"
                value=${draft}
                onInput=${(event) => setDraft(event.currentTarget.value)}
              ></textarea>
              <p class="row">
                <button type="submit" class="primary" disabled=${draft.trim() === ''}>Replace</button>
                <button type="button" onClick=${() => setDraft(undefined)}>Leave it</button>
              </p>
            </form>`
      }
    </article>`
}
