import { webhookSettings } from '../support/receiver.ts'
import { type Service, startService } from '../support/service.ts'
import { startLoopProbe } from './loop-probe.ts'

/**
 * A process of its own for a service, so that its event loop does nothing but the service's work. Tells its parent the
 * address, and for every message how long its event loop was blocked since the message before.
 * Arguments: the address of the database, the address and the key of the engine.
 */
const [databaseUrl = '', url = '', secretKey = ''] = process.argv.slice(2)
const service = await startService(
  { teardown() {} },
  {
    databaseUrl,
    engine: { url, secretKey } as Service['engine'],
    // The cause of an answer that is none stands in the log alone.
    environment: {
      LOG_LEVEL: 'error',
      // Every run leaves a delivery, to an address at which no server listens.
      ...webhookSettings([{ name: 'nowhere', url: 'http://127.0.0.1:1/' }]),
    },
    logger: { stream: process.stderr },
  },
)
let probe = startLoopProbe()
process.on('message', () => {
  process.send?.(probe.stop())
  probe = startLoopProbe()
})
process.on('disconnect', () => process.exit(0))
process.send?.({ url: service.url })
