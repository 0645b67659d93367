import { problem } from '../errors.ts'

/**
 * The index of the first frame to send: the one after `Last-Event-ID`, or `startIndex`; the header wins.
 * @throws Problem `invalid_stream_position`
 */
export function firstFrame(lastEventId: string | undefined, startIndex: string | undefined): number {
  if (lastEventId !== undefined) return index(lastEventId, 'Last-Event-ID') + 1
  return startIndex === undefined ? 0 : index(startIndex, 'startIndex')
}

export const beyondTheEnd = (frames: number) =>
  problem('invalid_stream_position', { detail: `The stream holds ${frames} frames so far.` })

function index(text: string, name: string): number {
  if (!/^(0|[1-9]\d{0,14})$/.test(text))
    throw problem('invalid_stream_position', { detail: `${name} must be a whole number from 0 on.` })
  return Number(text)
}
