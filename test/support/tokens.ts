import { createHmac, type KeyObject } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import type { Test } from 'tap'

/** The secret that signs the tokens of tests. `testConfig` trusts it. */
export const SECRET = 'a-secret-of-the-tests-that-is-long-enough'

type Claims = Record<string, unknown>

export const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds

/** The claims of a good token: alice may read and write for five minutes. */
export const claims = (own: Claims = {}): Claims => ({
  sub: 'alice',
  scope: 'agent:read agent:write',
  exp: inSeconds(300),
  ...own,
})

/** An HS256 token for `claims(own)`. A claim that is undefined is left out. */
export const token = (own: Claims = {}, secret = SECRET): string =>
  compact({ alg: 'HS256', typ: 'JWT' }, claims(own), secret)

/** `{ authorization: 'Bearer …' }` with such a token. */
export const bearer = (own: Claims = {}) => ({ authorization: `Bearer ${token(own)}` })

/** A token with any header and any payload, signed with HMAC. Libraries refuse to make most bad tokens. */
export function compact(
  header: object,
  payload: unknown,
  secret: string | KeyObject,
  hash = 'sha256',
): string {
  const input = `${base64(header)}.${base64(payload)}`
  return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`
}

export const base64 = (value: unknown) => Buffer.from(JSON.stringify(value) ?? '').toString('base64url')

export type Algorithm = 'RS256' | 'ES256' | 'EdDSA'

/** A key pair under a key id, which signs tokens. */
export interface Signer {
  jwk: JWK
  sign(own?: Claims, header?: object): Promise<string>
}

export async function createSigner(alg: Algorithm, kid: string): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return {
    jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' },
    sign: (own, header) =>
      new SignJWT(claims(own)).setProtectedHeader({ alg, kid, ...header }).sign(privateKey),
  }
}

/** A key set on a real HTTP server. A test can change it, break it and stop the server. */
export async function serveKeySet(t: Test, keys: JWK[]) {
  const state = { keys, fetches: 0, answer: undefined as number | string | undefined }
  const server = createServer((_request, response) => {
    state.fetches++
    if (state.answer === 'silence') return
    if (typeof state.answer === 'number') response.writeHead(state.answer)
    response.end(typeof state.answer === 'string' ? state.answer : JSON.stringify({ keys: state.keys }))
  })
  const listen = (port: number) =>
    new Promise<number>((resolve) => {
      server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
    })
  const away = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  const port = await listen(0)
  t.teardown(away)
  return { state, url: `http://127.0.0.1:${port}/jwks`, away, back: () => listen(port) }
}
