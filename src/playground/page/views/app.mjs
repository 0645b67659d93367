import { html } from 'htm/preact'
import { useEffect, useReducer } from 'preact/hooks'
import { isUnfinished } from '../thread.mjs'
import { Composer } from './composer.mjs'
import { Conversations } from './conversations.mjs'
import { Thread } from './thread.mjs'
import { TokenForm } from './token.mjs'

export function App({ session, deeds }) {
  const [, redraw] = useReducer((count) => count + 1, 0)
  useEffect(() => session.subscribe(redraw), [session])
  const { state } = session
  const isBusy = state.thread?.runs.some(isUnfinished) ?? false
  useEffect(() => {
    if (!isBusy) return undefined
    const onKey = (event) => {
      if (event.key === 'Escape') deeds.stop()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [isBusy, deeds])

  return html`
    ${!state.needsToken && html`<a class="skip" href="#message" onClick=${focusMessage}>Skip to the message</a>`}
    <header class="top">
      <h1>Playground</h1>
      <a href="./docs">API description</a>
      <button type="button" onClick=${session.askForToken}>Token</button>
    </header>
    <p role="status" class="unseen">${state.announcement}</p>
    ${
      state.needsToken
        ? html`<main><${TokenForm} session=${session} /></main>`
        : html`
          <${Conversations} session=${session} deeds=${deeds} />
          <main>
            <${Thread} session=${session} deeds=${deeds} />
            <p role="alert" class="problem">${state.problem}</p>
            <${Composer} session=${session} deeds=${deeds} isBusy=${isBusy} />
          </main>`
    }`
}

/** The address of the page names the conversation, so the link must not change it. */
function focusMessage(event) {
  event.preventDefault()
  document.getElementById('message')?.focus()
}
