/** What a request may cost: a run of the agent, or a look at something. */
export type Bucket = 'start' | 'read'
export const BUCKETS = ['start', 'read'] as const satisfies Bucket[]
