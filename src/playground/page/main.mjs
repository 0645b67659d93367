import { html, render } from 'htm/preact'
import { createApi } from './api.mjs'
import { deedsOf } from './deeds.mjs'
import { createSession } from './session.mjs'
import { App } from './views/app.mjs'

const session = createSession(createApi())
render(html`<${App} session=${session} deeds=${deedsOf(session)} />`, document.body)
session.begin()
