// Hooks of React for code that is not in a component: each is mounted in a component of its own.

import { createElement as h } from 'react'
import { flushSync } from 'react-dom'
import { createRoot } from 'react-dom/client'
import { useChatRuntime as runtimeHook } from 'real-assistant-ui'
import { useChat as chatHook } from 'real-react'

export { AssistantChatTransport } from 'real-assistant-ui'

function Host({ page, hook, options, wrap }) {
  page.now = hook(options)
  return wrap(page.now)
}

/** Mounts a component with the hook. `now` is what the hook has returned last. */
export function mounted(hook, options, wrap = () => null) {
  const page = {
    now: undefined,
    /** Waits until what the hook returns satisfies the condition. */
    async until(isThere) {
      while (!isThere(page.now)) await new Promise((resolve) => requestAnimationFrame(resolve))
    },
  }
  const root = createRoot(document.body.appendChild(document.createElement('div')))
  flushSync(() => root.render(h(Host, { page, hook, options, wrap })))
  return page
}

/** A hook of a piece: the scene says which chat the page shows, and gets what was mounted. */
const ofPiece = (hook) => (options) => {
  const { wrap, ...more } = globalThis.around
  globalThis.around.page = mounted(hook, { ...more, ...options }, wrap)
  return globalThis.around.page.now
}

export const useChat = ofPiece(chatHook)
export const useChatRuntime = ofPiece(runtimeHook)
