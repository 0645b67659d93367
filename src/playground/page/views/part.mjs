import { html } from 'htm/preact'

const json = (value) => (typeof value === 'string' ? value : JSON.stringify(value, null, 2))

/** States of a tool call in words. */
const STATES = {
  'input-streaming': 'being called',
  'input-available': 'running',
  'approval-requested': 'waits for approval',
  'approval-responded': 'decided',
  'output-available': 'answered',
  'output-error': 'failed',
  'output-denied': 'denied',
}

/** One part of a message. All of it is set as text: nothing that the agent writes becomes HTML. */
export function Part({ part }) {
  if (part.type === 'text') return part.text === '' ? null : html`<p class="text">${part.text}</p>`
  if (part.type === 'reasoning') return html`<${Reasoning} part=${part} />`
  if (part.type === 'dynamic-tool' || part.type.startsWith('tool-')) return html`<${Tool} part=${part} />`
  if (part.type === 'source-url') return html`<${Source} part=${part} />`
  if (part.type === 'step-start') return null
  return html`<${Block} name=${part.type} text=${json(part)} />`
}

const Reasoning = ({ part: { text } }) => html`
  <details class="reasoning">
    <summary>Reasoning</summary>
    <p class="text">${text}</p>
  </details>`

function Tool({ part }) {
  const { type, toolName = type.slice('tool-'.length), state, input, inputText, output, errorText } = part
  return html`
    <details class="tool">
      <summary>Tool <code>${toolName}</code>: ${STATES[state] ?? state}</summary>
      <${Block} name="Arguments" text=${input === undefined ? (inputText ?? '') : json(input)} />
      ${output !== undefined && html`<${Block} name="Result" text=${json(output)} />`}
      ${errorText !== undefined && html`<${Block} name="Error" text=${errorText} />`}
    </details>`
}

function Source({ part: { url, title } }) {
  const isWeb = URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)
  return html`<p>Source: ${isWeb ? html`<a href=${url} rel="noreferrer">${title ?? url}</a>` : url}</p>`
}

export const Block = ({ name, text }) => html`
  <figure>
    <figcaption>${name}</figcaption>
    <pre tabindex="0" aria-label=${name}>${text}</pre>
  </figure>`
