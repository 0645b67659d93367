import type { Redis } from 'ioredis'

/**
 * A connection that fails at once instead of queueing: an outage must not cost a request more than 50 ms.
 * A Redis that went silent is dropped and dialled again, so that unanswered commands cannot pile up.
 */
export async function connectRedis(url: string, onError: (error: Error) => void): Promise<Redis> {
  const { Redis } = await import('ioredis')
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
}
