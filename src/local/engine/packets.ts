import { createHmac, timingSafeEqual } from 'node:crypto'

export interface StoredPacket {
  data: Buffer
  type: string
}

const URL_LIFETIME_MS = 3_600_000
export const PACKETS_PATH = '/local-engine/packets/'

/**
 * The object store of large payloads and outputs, in memory. The oldest packets are dropped first. A client with a
 * presigned URL can read or write its packet for an hour.
 */
export class PacketStore {
  readonly #packets = new Map<string, StoredPacket>()
  readonly #secret: string
  readonly #maxBytes: number
  #bytes = 0
  #baseUrl = ''

  constructor(secret: string, maxBytes: number) {
    this.#secret = secret
    this.#maxBytes = maxBytes
  }

  /** The beginning of presigned URLs. It is known once the server listens. */
  serveAt(baseUrl: string): void {
    this.#baseUrl = baseUrl
  }

  get(path: string): StoredPacket | undefined {
    return this.#packets.get(path)
  }

  put(path: string, packet: StoredPacket): void {
    this.delete(path)
    this.#packets.set(path, packet)
    this.#bytes += packet.data.length
    for (const oldest of this.#packets.keys()) {
      if (this.#bytes <= this.#maxBytes) return
      this.delete(oldest)
    }
  }

  delete(path: string): void {
    this.#bytes -= this.#packets.get(path)?.data.length ?? 0
    this.#packets.delete(path)
  }

  presign(method: 'GET' | 'PUT', path: string): string {
    const expires = String(Date.now() + URL_LIFETIME_MS)
    const query = new URLSearchParams({ expires, signature: this.#sign(method, path, expires) })
    return `${this.#baseUrl}${PACKETS_PATH}${encodeURIComponent(path)}?${query}`
  }

  isSigned(method: string, path: string, { expires = '', signature = '' }: Record<string, string>): boolean {
    const expected = Buffer.from(this.#sign(method, path, expires))
    const given = Buffer.from(signature)
    return (
      Number(expires) > Date.now() && given.length === expected.length && timingSafeEqual(given, expected)
    )
  }

  #sign(method: string, path: string, expires: string): string {
    return createHmac('sha256', this.#secret).update(`${method}\n${path}\n${expires}`).digest('hex')
  }
}
