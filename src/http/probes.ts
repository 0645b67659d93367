const PROBES = new Set(['/livez', '/readyz'])

/** Whether probes call this route every few seconds. Logs and traces leave such requests out. */
export const isProbe = (route: string | undefined): boolean => route !== undefined && PROBES.has(route)
