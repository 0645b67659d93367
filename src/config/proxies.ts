import { isIP } from 'node:net'
import { list } from './values.ts'

/** Reads TRUST_PROXY: all proxies, none, a number of hops, or a list of addresses and networks. */
export function trustProxy(value: string | undefined): boolean | number | string[] {
  if (value === undefined || value === 'false') return false
  if (value === 'true') return true
  return /^\d+$/.test(value) ? Number(value) : list(value)
}

export function isTrustProxy(value: string | undefined): boolean {
  return [trustProxy(value)].flat().every((item) => typeof item !== 'string' || isNetwork(item))
}

/** An address, a network such as 10.0.0.0/8, or one of the names that stand for several networks. */
function isNetwork(value: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(value)) return true
  const [address = '', prefix, ...rest] = value.split('/')
  const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1
  return (
    bits > 0 &&
    rest.length === 0 &&
    (prefix === undefined || (/^\d+$/.test(prefix) && Number(prefix) <= bits))
  )
}
