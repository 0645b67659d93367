import { BlockList, isIP } from 'node:net'
import { isPublicAddress } from '../agent/http/public-address.ts'

/** Adds a network (`10.0.0.0/8`) or a single address. @returns false when the text is neither */
function add(list: BlockList, text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  const bits = version === 4 ? 32 : 128
  if (prefix !== undefined && (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bits)) return false
  list.addSubnet(address, prefix === undefined ? bits : Number(prefix), version === 4 ? 'ipv4' : 'ipv6')
  return true
}

export const isNetwork = (text: string): boolean => add(new BlockList(), text)

/** Decides to which addresses the service may connect. */
export interface Networks {
  /** Whether the operator has listed the address: then it may be private, and plain http is allowed. */
  lists(address: string): boolean
  /** Whether the address is listed, or belongs to the public internet. */
  admits(address: string): boolean
}

/** @param allowed networks and addresses of WEBHOOK_ALLOWED_ADDRESSES */
export function networks(allowed: readonly string[]): Networks {
  const list = new BlockList()
  for (const network of allowed) add(list, network)
  const lists = (address: string) => list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6')
  return { lists, admits: (address) => lists(address) || isPublicAddress(address) }
}
