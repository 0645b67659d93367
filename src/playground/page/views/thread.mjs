import { html } from 'htm/preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { blocksOf, isUnfinished } from '../thread.mjs'
import { Answer } from './answer.mjs'
import { Question } from './question.mjs'

/** Pixels from the end within which the page keeps to the end while an answer grows. */
const NEAR = 80

export function Thread({ session, deeds }) {
  const { thread, live, conversationId } = session.state
  const region = useRef(null)
  const keepsToEnd = useRef(true)
  const onScroll = ({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
    keepsToEnd.current = scrollHeight - scrollTop - clientHeight < NEAR
  }
  useLayoutEffect(() => {
    if (keepsToEnd.current) region.current.scrollTop = region.current.scrollHeight
  })
  const blocks = thread === undefined ? [] : blocksOf(thread)
  const isIdle = !thread?.runs.some(isUnfinished)
  return html`
    ${thread && html`<${Heading} key=${thread.id} conversation=${thread.conversation} deeds=${deeds} />`}
    <section class="thread" aria-label="Messages" tabindex="0" ref=${region} onScroll=${onScroll}>
      ${thread?.cursor && html`<button type="button" onClick=${deeds.showEarlier}>Show earlier messages</button>`}
      ${
        conversationId === undefined &&
        html`<p class="hint">Ask something, such as “What is 17 * 23?” or “Tell me a story of 12 sentences”.</p>`
      }
      ${blocks.map(({ key, role, message, run }, index) =>
        role === 'user'
          ? html`<${Question} key=${key} message=${message} deeds=${deeds} />`
          : html`<${Answer}
              key=${key}
              message=${message}
              run=${run}
              live=${live?.runId === run?.runId ? live : undefined}
              isLast=${index === blocks.length - 1 && isIdle}
              session=${session}
              deeds=${deeds}
            />`,
      )}
    </section>`
}

function Heading({ conversation: { title }, deeds }) {
  const [text, setText] = useState(title)
  const [isSure, setSure] = useState(false)
  useEffect(() => setText(title), [title])
  const rename = (event) => {
    event.preventDefault()
    if (text.trim() !== '' && text !== title) deeds.rename(text)
  }
  return html`
    <form class="row heading" onSubmit=${rename}>
      <input
        aria-label="Title of the conversation"
        maxlength="200"
        value=${text}
        onInput=${(event) => setText(event.currentTarget.value)}
        onBlur=${rename}
      />
      ${
        isSure
          ? html`
            <button type="button" class="danger" onClick=${deeds.remove}>Really delete</button>
            <button type="button" onClick=${() => setSure(false)}>Keep</button>`
          : html`<button type="button" onClick=${() => setSure(true)}>Delete</button>`
      }
    </form>`
}
