import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { auth, runs, tasks } from '@trigger.dev/sdk'
import { AGENT_STREAM } from '../../src/agent/turn.ts'
import { HELD, HELD_END, type HeldEnd } from './held-task.ts'

/** The task file that an engine needs for held runs. */
export const HELD_TASK = fileURLToPath(new URL('./held-task.ts', import.meta.url))

/** A run of the local engine that goes on until the test ends it, and whose stream the test writes. */
export interface HeldRun {
  id: string
  /** Resolves once a worker executes the run. The worker goes on with it after a cancel. */
  executing(): Promise<void>
  /** Writes records to the agent's stream of the run, in one write. */
  write(records: unknown[]): Promise<void>
  /** Tells the run how to end. Only the first call counts. */
  end(how?: HeldEnd): Promise<void>
}

/** Starts a held run. It has its own lane unless `concurrencyKey` names a lane. */
export async function hold(
  { url, secretKey }: { url: string; secretKey: string },
  payload: unknown = null,
  options: { concurrencyKey?: string; ttl?: string } = {},
): Promise<HeldRun> {
  const scoped = <T>(call: () => Promise<T>) =>
    auth.withAuth({ accessToken: secretKey, baseURL: url }, call) as Promise<T>
  const { id } = await scoped(() =>
    tasks.trigger(HELD, payload, { concurrencyKey: crypto.randomUUID(), ...options }),
  )
  const send = async (stream: string, values: unknown[]) => {
    const response = await fetch(`${url}/realtime/v1/streams/${id}/self/${stream}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secretKey}` },
      body: values.map((value) => `${JSON.stringify(value)}\n`).join(''),
    })
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  }
  let told: Promise<void> | undefined
  return {
    id,
    async executing() {
      while ((await scoped(() => runs.retrieve(id))).status !== 'EXECUTING') await setTimeout(5)
    },
    write: (records) => send(AGENT_STREAM, records),
    end: (how = { output: null }) => (told ??= send(HELD_END, [how])),
  }
}
