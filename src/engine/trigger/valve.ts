export interface Valve {
  /** Chunks that are piped through this stream pass while the valve is open. */
  body: TransformStream<Uint8Array, Uint8Array>
  /** Opens on the next turn of the event loop, so that the reader first takes the chunks that have passed already. */
  open(): void
  close(): void
}

/** Holds the body of a response back while its reader is busy. Without it the SDK reads the whole body into memory. */
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
