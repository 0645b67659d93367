export interface Valve {
  /** What passes through, as long as it is open. */
  body: TransformStream<Uint8Array, Uint8Array>
  /** Once who reads has waited for a moment: what has passed before is taken first. */
  open(): void
  close(): void
}

/** Holds a response's body back while nobody asks for more: the SDK would take all that there is into memory. */
export function createValve(): Valve {
  let opened = Promise.withResolvers<void>()
  let isOpen = false
  let opening: NodeJS.Immediate | undefined
  return {
    body: new TransformStream({
      async transform(bytes, controller) {
        await opened.promise
        controller.enqueue(bytes)
      },
    }),
    open() {
      opening = setImmediate(() => {
        isOpen = true
        opened.resolve()
      })
    },
    close() {
      clearImmediate(opening)
      if (isOpen) opened = Promise.withResolvers()
      isOpen = false
    },
  }
}
