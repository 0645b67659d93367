import { setTimeout as sleep } from 'node:timers/promises'
import type { Caller } from './caller.ts'

export interface Viewing {
  /** Places of the frames in the order in which they came. */
  ids: number[]
  isDone: boolean
  resumptions: number
}

/** Reads a run's stream to its end as a client does: after every break it resumes behind the last frame. */
export async function view(
  { headers }: Caller,
  user: string,
  runId: string,
  urls: () => string,
  until: AbortSignal,
): Promise<Viewing> {
  const seen: Viewing = { ids: [], isDone: false, resumptions: -1 }
  while (!seen.isDone && !until.aborted) {
    seen.resumptions += 1
    const last = seen.ids.at(-1)
    try {
      const response = await fetch(`${urls()}/api/agent/chat/${runId}/stream`, {
        headers: {
          ...(await headers(user)),
          ...(last === undefined ? {} : { 'last-event-id': String(last) }),
        },
        signal: until,
      })
      let rest = ''
      for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        const lines = (rest + piece).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          if (line.startsWith('id: ')) seen.ids.push(Number(line.slice(4)))
          if (line === 'data: [DONE]') seen.isDone = true
        }
      }
    } catch {
      // The connection broke, or nobody listens: resumed below.
    }
    if (!seen.isDone) await sleep(100)
  }
  return seen
}

/** Every frame once, in order, from the first to the end. */
export const isWhole = ({ ids, isDone }: Viewing): boolean => isDone && ids.every((id, place) => id === place)
