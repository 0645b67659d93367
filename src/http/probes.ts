const PROBES = new Set(['/livez', '/readyz'])

/** Whether a route is asked by machines every few seconds: no news for logs and traces. */
export const isProbe = (route: string | undefined): boolean => route !== undefined && PROBES.has(route)
