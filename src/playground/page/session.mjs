import { Refusal } from './api.mjs'
import { events } from './events.mjs'
import { follower } from './follower.mjs'
import { announced, isUnfinished, loadThread } from './thread.mjs'

/** Milliseconds between two drawings of the page while an answer comes in. */
const DRAW_MS = 40

/** What the page shows, and what a person can do there. The service holds the truth: each change loads it again. */
export function createSession(api) {
  const state = {
    conversations: [],
    moreConversations: null,
    conversationId: location.hash.slice(1) || undefined,
    thread: undefined,
    live: undefined,
    problem: undefined,
    needsToken: false,
    isSending: false,
    announcement: '',
  }
  const listeners = new Set()
  let isDrawing = false
  const draw = () => {
    if (isDrawing) return
    isDrawing = true
    setTimeout(() => {
      isDrawing = false
      for (const listener of listeners) listener()
    }, DRAW_MS)
  }
  const set = (changes) => {
    Object.assign(state, changes)
    draw()
  }

  /** Does something, and shows why it was refused. @returns whether it worked */
  async function attempt(what) {
    try {
      await what()
      return true
    } catch (error) {
      fail(error)
      return false
    }
  }
  function fail(error) {
    if (!(error instanceof Refusal)) console.error(error)
    const isAway = error instanceof TypeError
    set({ problem: isAway ? 'The service cannot be reached at the moment.' : error.message })
    if (error.status === 401) set({ needsToken: true })
  }

  const loadList = once(async () => {
    const { data, nextCursor } = await api.get('/api/agent/conversations?limit=50')
    set({ conversations: data, moreConversations: nextCursor })
  })
  const loadOpen = once(async () => {
    const id = state.conversationId
    if (id === undefined) return
    const thread = await loadThread(api, id, state.thread?.id === id ? state.thread : undefined)
    if (id !== state.conversationId) return
    const ended = thread.runs.find((run) => run.runId === state.live?.runId && !isUnfinished(run))
    set({ thread, ...(ended === undefined ? {} : { announcement: announced(thread, ended) }) })
    follow.only(thread.runs.findLast(isUnfinished)?.runId)
  })
  const reload = () => attempt(() => Promise.all([loadList(), loadOpen()]))

  const follow = follower(api, {
    changed: (live) => set({ live }),
    failed: fail,
    ended: () => attempt(loadOpen),
  })

  let watching
  /** Follows what happens to the conversations, also in other tabs, while the page is visible. */
  async function watch() {
    watching?.abort()
    watching = new AbortController()
    const { signal } = watching
    while (!signal.aborted) {
      try {
        for await (const data of events(api, '/api/agent/events', signal)) heard(JSON.parse(data))
      } catch (error) {
        // The place in the feed is too old: a new feed begins, and with it everything is loaded.
        if (error.code !== 'feed_expired') return fail(error)
      }
    }
  }
  function heard({ type, data: { conversationId } }) {
    if (type === 'feed.opened') return void reload()
    if (conversationId === state.conversationId) {
      if (type === 'conversation.deleted') open(undefined)
      else void attempt(loadOpen)
    }
    if (/^conversation|^run\.queued|^run\.(completed|failed|cancelled)/.test(type)) void attempt(loadList)
  }
  /** A browser has six connections to a service that speaks HTTP/1.1, so hidden tabs hold none. */
  function leave() {
    watching?.abort()
    follow.only(undefined)
  }

  function open(conversationId) {
    if (conversationId !== state.conversationId) follow.only(undefined)
    history.replaceState(null, '', conversationId === undefined ? location.pathname : `#${conversationId}`)
    set({ conversationId, thread: undefined, problem: undefined })
    return attempt(loadOpen)
  }

  return {
    state,
    api,
    attempt,
    open,
    loadOpen,
    reload,
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    begin() {
      document.addEventListener('visibilitychange', () => (document.hidden ? leave() : void watch()))
      addEventListener('hashchange', () => open(location.hash.slice(1) || undefined))
      void watch()
    },
    takeToken(token) {
      if (token === '') api.forgetToken()
      else api.takeToken(token)
      set({ needsToken: false, problem: undefined, conversations: [], thread: undefined })
      void watch()
    },
    askForToken: () => set({ needsToken: true }),
    set,
  }
}

/** The function, so that it runs once at a time: calls while it runs are answered by one further run. */
function once(what) {
  let running
  let next
  const run = () => {
    running = what().finally(() => {
      running = undefined
    })
    return running
  }
  return () => {
    if (running === undefined) return run()
    next ??= running
      .catch(() => {})
      .then(() => {
        next = undefined
        return run()
      })
    return next
  }
}
