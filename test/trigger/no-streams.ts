// Preloaded into a worker: every attempt to open a stream for writing is refused.
const { fetch } = globalThis
globalThis.fetch = async (input, init) =>
  init?.method === 'PUT' && String(input).includes('/realtime/v1/streams/')
    ? Response.json({ error: 'no streams here' }, { status: 400 })
    : fetch(input, init)
