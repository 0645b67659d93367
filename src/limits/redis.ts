import type { Redis } from 'ioredis'
import { StartError } from '../start-error.ts'

/**
 * A connection that fails at once instead of queueing commands, because an outage must not cost a request more than
 * 50 ms. A connection that does not answer is replaced, so that unanswered commands cannot pile up.
 *
 * @throws StartError when the address cannot be read
 */
export async function connectRedis(url: string, onError: (error: Error) => void): Promise<Redis> {
  const { Redis } = await import('ioredis')
  try {
    const redis = new Redis(url, {
      connectionName: 'agent-chat-service',
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      connectTimeout: 500,
      commandTimeout: 40,
      socketTimeout: 500,
      retryStrategy: (attempt) => Math.min(attempt * 100, 2000),
    })
    redis.on('error', onError)
    return redis
  } catch (cause) {
    throw new StartError('REDIS_URL cannot be read as an address of Redis.', { cause })
  }
}
