import { html } from 'htm/preact'
import { useEffect, useState } from 'preact/hooks'
import { events } from '../events.mjs'
import { Block } from './part.mjs'

/** The page shows so many of the newest frames. */
const MAX_FRAMES = 1000

/** The frames of a run's stream as they come over the wire, from the first one on. */
export function Frames({ runId, session }) {
  const [frames, setFrames] = useState([])
  const [why, setWhy] = useState(undefined)
  useEffect(() => {
    const leaving = new AbortController()
    const read = async () => {
      const path = `/api/agent/chat/${runId}/stream?ui=7`
      for await (const data of events(session.api, path, leaving.signal))
        setFrames((before) => [...before, data].slice(-MAX_FRAMES))
    }
    read().catch((error) => setWhy(error.message))
    return () => leaving.abort()
  }, [runId, session])
  return html`
    ${why !== undefined && html`<p class="problem">${why}</p>`}
    <${Block} name=${`Frames (${frames.length})`} text=${frames.join('\n')} />`
}
