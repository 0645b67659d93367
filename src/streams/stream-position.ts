import { problem } from '../errors.ts'

/**
 * Reads where a caller wants a stream to go on: after the frame in `Last-Event-ID`, or at the frame in `startIndex`.
 * The header wins over the query.
 * @returns the index of the first frame to send; 0 when the caller names none
 * @throws Problem `invalid_stream_position` when the value is no whole number from 0 on
 */
export function firstFrame(lastEventId: string | undefined, startIndex: string | undefined): number {
  if (lastEventId !== undefined) return index(lastEventId, 'Last-Event-ID') + 1
  return startIndex === undefined ? 0 : index(startIndex, 'startIndex')
}

/** The refusal of a position behind the last frame of a stream that holds `frames` frames. */
export const beyondTheEnd = (frames: number) =>
  problem('invalid_stream_position', { detail: `The stream holds ${frames} frames so far.` })

function index(text: string, name: string): number {
  if (!/^(0|[1-9]\d{0,14})$/.test(text))
    throw problem('invalid_stream_position', { detail: `${name} must be a whole number from 0 on.` })
  return Number(text)
}
