import { html } from 'htm/preact'
import { useRef, useState } from 'preact/hooks'
import { pause } from '../api.mjs'

/** A text with a button that copies it; where a page may not copy, the button selects the text. */
function useCopy(text) {
  const element = useRef(null)
  const [label, setLabel] = useState('Copy')
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      setLabel('Copied')
    } catch {
      getSelection().selectAllChildren(element.current)
      setLabel('Selected')
    }
    await pause(2000)
    setLabel('Copy')
  }
  return { element, label, copy }
}

export function Copied({ text }) {
  const { element, label, copy } = useCopy(text)
  return html`
    <code ref=${element}>${text}</code>${' '}
    <button type="button" class="small" aria-label=${`${label} ${text}`} onClick=${copy}>${label}</button>`
}

export function CopyLine({ name, text }) {
  const { element, label, copy } = useCopy(text)
  return html`
    <figure>
      <figcaption>
        ${name}${' '}
        <button type="button" class="small" aria-label=${`${label}: ${name}`} onClick=${copy}>${label}</button>
      </figcaption>
      <pre tabindex="0" aria-label=${name} ref=${element}>${text}</pre>
    </figure>`
}
