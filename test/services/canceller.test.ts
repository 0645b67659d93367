import { once } from 'node:events'
import t from 'tap'
import type { ServiceContext } from '../../src/services/context.ts'
import { canceller } from '../../src/services/end/canceller.ts'
import { finalizer } from '../../src/services/end/finalizer.ts'
import type { RunEnd } from '../../src/stores/run-ends.ts'

t.test('a cancel is answered with the end of a run that has not written anything', async (t) => {
  const stored: RunEnd[] = []
  const at = new Date()
  const context = {
    engine: {
      cancel: async () => {},
      get: async (runId: string) => ({
        runId,
        status: 'cancelled',
        tags: [],
        createdAt: at,
        startedAt: at,
        finishedAt: at,
      }),
      /** The engine keeps a stream that was never written open, and sends no record. */
      async *chunks(_runId: string, signal: AbortSignal, { onOpen }: { onOpen(): void }) {
        onOpen()
        await once(signal, 'abort')
        yield* []
      },
    },
    log: { info() {}, warn: (...line: unknown[]) => t.fail(JSON.stringify(line)), error() {} },
    stores: { ends: { finalize: async (end: RunEnd) => stored.push(end) > 0 } },
  } as unknown as ServiceContext
  await canceller(context, finalizer(context)).end('turn', 'run_silent')
  t.match(stored, [{ runId: 'run_silent', status: 'cancelled', output: null, frameCount: 0 }])
})
