/**
 * The caller of a request. Rows, limits and ownership go by `userId`, the effective user. `actor` is set when another
 * party calls for the user: the chain of the token's `act` claims (RFC 8693), nearest first.
 */
export interface Caller {
  userId: string
  actor?: string
  /** Scopes of the token, for the agent. Routes have checked theirs already. */
  scopes?: string[]
}
