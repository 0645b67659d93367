import { html } from 'htm/preact'
import { useRef } from 'preact/hooks'

export function TokenForm({ session }) {
  const field = useRef(null)
  const submit = (event) => {
    event.preventDefault()
    session.takeToken(field.current.value.trim())
  }
  return html`
    <form class="token" onSubmit=${submit}>
      <h2>Whose conversations?</h2>
      <p>
        The page calls the service with a bearer token that has the scopes <code>agent:read</code> and${' '}
        <code>agent:write</code>. It is kept until this tab is closed, and sent to this service alone.
      </p>
      <p>In development: <code>npm run -s token -- --sub alice</code></p>
      <label for="token">Token</label>
      <input id="token" type="password" autocomplete="off" ref=${field} />
      ${session.state.problem && html`<p role="alert" class="problem">${session.state.problem}</p>`}
      <p class="row">
        <button type="submit" class="primary">Use the token</button>
        <button type="button" onClick=${() => session.takeToken('')}>
          Without one, where the service gives its own
        </button>
      </p>
    </form>`
}
