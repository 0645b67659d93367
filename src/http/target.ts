/**
 * The path of a request target, without the scheme and host of the absolute form (RFC 9112 §3.2.2) and without
 * the query.
 */
export function targetPath(target: string): string {
  return withoutHost(target).split('?', 1)[0] ?? ''
}

/** A path as a reference to this service: one that begins with two slashes would name another host (RFC 3986 §4.2). */
export const asReference = (path: string): string => (path.startsWith('//') ? `/.${path}` : path)

/** Whether a path can be decoded: every `%` begins an escape, and the escaped bytes are UTF-8. */
export function isWellFormed(path: string): boolean {
  if (!path.includes('%')) return true
  try {
    decodeURIComponent(path)
    return true
  } catch {
    // A URIError: Node has no function that checks an address without throwing.
    return false
  }
}

/** The target of paths that cannot be decoded: no route has this address. */
const NOWHERE = '/%2F'

/**
 * The target that the router gets. A path that cannot be decoded becomes one that no route has, so that its refusal
 * passes every hook, as each other refusal does. A proxy may keep the path of PUBLIC_URL or take it off.
 *
 * @param base path of PUBLIC_URL, without a slash at its end
 */
export function routedTarget(target: string, base: string): string {
  const url = withoutHost(target)
  if (!isWellFormed(url.split('?', 1)[0] ?? '')) return NOWHERE
  const rest = base !== '' && url.startsWith(base) ? url.slice(base.length) : undefined
  if (rest === undefined || !/^([/?]|$)/.test(rest)) return url
  return rest.startsWith('/') ? rest : `/${rest}`
}

/** Node passes on the target as the client sent it: in absolute form with a scheme in front, else with a slash. */
function withoutHost(target: string): string {
  if (target.startsWith('/')) return target
  const [host] = /^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i.exec(target) ?? []
  if (host === undefined) return target
  const rest = target.slice(host.length)
  return rest.startsWith('/') ? rest : `/${rest}`
}
