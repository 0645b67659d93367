import { Refusal } from './api.mjs'
import { events } from './events.mjs'
import { addChunk, newAnswer } from './parts.mjs'
import { isUnfinished } from './thread.mjs'

/** Shows one run at a time: its answer as it is written, then its end. */
export function follower(api, { changed, failed, ended }) {
  let shown
  let leaving = new AbortController()

  async function follow(runId, signal) {
    const answer = newAnswer(runId)
    changed(answer)
    try {
      await stream(answer, signal)
      await end(runId, signal)
    } catch (error) {
      if (!signal.aborted) failed(error)
      return
    }
    if (!signal.aborted) await ended(answer)
  }

  async function stream(answer, signal) {
    try {
      for await (const data of events(api, `/api/agent/chat/${answer.runId}/stream?ui=7`, signal)) {
        if (signal.aborted) return
        if (data !== '[DONE]') addChunk(answer, JSON.parse(data))
        changed(answer)
      }
    } catch (error) {
      // The engine keeps streams for a limited time. The answer is then read from the run.
      if (!(error instanceof Refusal && error.code === 'stream_expired')) throw error
    }
  }

  /** Waits until the service has stored the end of the run. */
  async function end(runId, signal) {
    while (!signal.aborted && isUnfinished(await api.get(`/api/agent/chat/${runId}?wait=30`, { signal })));
  }

  return {
    /** Follows this run, and none that was followed before; undefined: follows no run. */
    only(runId) {
      if (runId === shown) return
      leaving.abort()
      leaving = new AbortController()
      shown = runId
      if (runId === undefined) changed(undefined)
      else void follow(runId, leaving.signal)
    },
  }
}
