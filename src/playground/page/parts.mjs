/** An answer that is being written: its parts have the form of those of a stored message. */
export const newAnswer = (runId) => ({ runId, parts: [], hasBegun: false, error: undefined })

const added = (answer, part) => {
  answer.parts.push(part)
  return part
}

const part = (answer, id, type) => {
  const open = answer.parts.find((one) => one.id === id && one.type === type && one.state === 'streaming')
  return open ?? added(answer, { id, type, text: '', state: 'streaming' })
}

const tool = (answer, { toolCallId, toolName = 'tool' }) =>
  answer.parts.find((one) => one.toolCallId === toolCallId) ??
  added(answer, { type: 'dynamic-tool', toolCallId, toolName, state: '' })

/** What each type of a chunk changes in the answer. A type that is not named here changes nothing. */
const CHANGES = {
  'text-start': (answer, { id }) => part(answer, id, 'text'),
  'text-delta': (answer, { id, delta }) => {
    part(answer, id, 'text').text += delta
  },
  'text-end': (answer, { id }) => {
    part(answer, id, 'text').state = 'done'
  },
  'reasoning-start': (answer, { id }) => part(answer, id, 'reasoning'),
  'reasoning-delta': (answer, { id, delta }) => {
    part(answer, id, 'reasoning').text += delta
  },
  'reasoning-end': (answer, { id }) => {
    part(answer, id, 'reasoning').state = 'done'
  },
  'tool-input-start': (answer, chunk) => Object.assign(tool(answer, chunk), { state: 'input-streaming' }),
  'tool-input-delta': (answer, chunk) => {
    const call = tool(answer, chunk)
    call.inputText = (call.inputText ?? '') + chunk.inputTextDelta
  },
  'tool-input-available': (answer, chunk) =>
    Object.assign(tool(answer, chunk), { state: 'input-available', input: chunk.input }),
  'tool-input-error': (answer, chunk) =>
    Object.assign(tool(answer, chunk), {
      state: 'output-error',
      input: chunk.input,
      errorText: chunk.errorText,
    }),
  'tool-output-available': (answer, chunk) =>
    Object.assign(tool(answer, chunk), { state: 'output-available', output: chunk.output }),
  'tool-output-error': (answer, chunk) =>
    Object.assign(tool(answer, chunk), { state: 'output-error', errorText: chunk.errorText }),
  'tool-approval-request': (answer, chunk) =>
    Object.assign(tool(answer, chunk), { state: 'approval-requested' }),
  'tool-output-denied': (answer, chunk) => Object.assign(tool(answer, chunk), { state: 'output-denied' }),
  'source-url': (answer, chunk) => added(answer, chunk),
  file: (answer, chunk) => added(answer, chunk),
  error: (answer, { errorText }) => {
    answer.error = errorText
  },
}

/** Adds one chunk of a UI message stream to the answer. */
export function addChunk(answer, chunk) {
  answer.hasBegun = true
  if (Object.hasOwn(CHANGES, chunk.type)) CHANGES[chunk.type](answer, chunk)
}
