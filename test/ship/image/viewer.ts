import { setTimeout as sleep } from 'node:timers/promises'
import type { Caller } from './caller.ts'

export interface Viewing {
  /** Places of the frames in the order in which they came. */
  ids: number[]
  /** The answer as its deltas tell it. */
  text: string
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
  const seen: Viewing = { ids: [], text: '', isDone: false, resumptions: -1 }
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
          else if (line.startsWith('data: ')) seen.text += textOf(line.slice(6))
        }
      }
    } catch {
      // The connection broke or was refused; the code below resumes it.
    }
    if (!seen.isDone) await sleep(100)
  }
  return seen
}

function textOf(json: string): string {
  const { type, delta } = JSON.parse(json)
  return type === 'text-delta' ? delta : ''
}

/** Every frame once, in order, to the end: what was read is what was said. Some ids have no frame to show. */
export const isWhole = ({ ids, text, isDone }: Viewing, said: string): boolean =>
  isDone && text === said && ids.every((id, place) => place === 0 || id > (ids[place - 1] ?? id))
