import { html } from 'htm/preact'

export function Conversations({ session, deeds }) {
  const begin = () => {
    session.open(undefined)
    document.getElementById('message')?.focus()
  }
  const { conversations, conversationId, moreConversations } = session.state
  return html`
    <nav aria-label="Conversations">
      <button type="button" class="primary" onClick=${begin}>New conversation</button>
      <ul>
        ${conversations.map(
          ({ id, title, activeRunId }) => html`
            <li key=${id}>
              <button
                type="button"
                aria-current=${id === conversationId ? 'true' : undefined}
                onClick=${() => session.open(id)}
              >
                ${title}${activeRunId !== null && html`<span class="busy"> (working)</span>`}
              </button>
            </li>`,
        )}
      </ul>
      ${
        moreConversations !== null &&
        html`<button type="button" onClick=${deeds.showMoreConversations}>Show older ones</button>`
      }
    </nav>`
}
