/** The two prices of a request: `start` for a run of the agent, `read` for everything else. */
export type Bucket = 'start' | 'read'
export const BUCKETS = ['start', 'read'] as const satisfies Bucket[]
