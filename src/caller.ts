/**
 * Who a request acts for. Rows, limits and ownership go by `userId`, the effective user; `actor` is who
 * really calls when that is somebody else: the chain of the token's `act` claims (RFC 8693), nearest first.
 */
export interface Caller {
  userId: string
  actor?: string
}
