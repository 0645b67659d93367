/** One kind of refusal: what `GET /problems/{code}` tells about it, and what every such answer carries. */
export interface ProblemDefinition {
  status: number
  title: string
  /** Whether the same request can succeed later without being changed. */
  retryable: boolean
  /** What happened. */
  what: string
  /** Who must act, and how. */
  action: string
}

/** The closed register of every problem that this service answers with (RFC 9457). */
export const PROBLEMS = {
  invalid_request: {
    status: 400,
    title: 'Invalid request',
    retryable: false,
    what: 'The request does not match the schema; `errors` lists every fault with its path.',
    action: 'Correct the request; sending it again unchanged fails again.',
  },
  malformed_json: {
    status: 400,
    title: 'Malformed JSON',
    retryable: false,
    what: 'The body could not be read as JSON.',
    action: 'Send a well-formed JSON body.',
  },
  malformed_http: {
    status: 400,
    title: 'Malformed HTTP',
    retryable: false,
    what: 'What arrived is not a request in HTTP/1.1: an unknown method, a broken header, no `Host` …',
    action: 'Use an HTTP client; look for a proxy that changes what it passes on.',
  },
  invalid_cursor: {
    status: 400,
    title: 'Invalid cursor',
    retryable: false,
    what: 'The cursor was not made by this service, or belongs to a list with other filters.',
    action: 'Start the list again without a cursor, and keep the filters while paging.',
  },
  invalid_stream_position: {
    status: 400,
    title: 'Invalid stream position',
    retryable: false,
    what: '`Last-Event-ID` or `startIndex` is malformed or lies beyond the end of the stream.',
    action: 'Resume with the id of the last frame that you received, or without any.',
  },
  agent_unknown: {
    status: 400,
    title: 'Unknown agent',
    retryable: false,
    what: 'This service has no agent of that name. The agent of an older conversation may have been removed.',
    action: 'Choose one of the agents that `GET /api/agent/agents` lists.',
  },
  regenerate_unsupported: {
    status: 400,
    title: 'Regenerating is not supported',
    retryable: false,
    what: 'The body asks for another answer to a message that a start or a fork brought along as history; only answers of runs can be asked for again.',
    action: 'Send the question again as a new message.',
  },
  edit_unsupported: {
    status: 400,
    title: 'Editing is not supported',
    retryable: false,
    what: 'The body changes a message that a start or a fork brought along as history, would replace more than 500 turns, or does not tell which message it changes.',
    action:
      'Fork the conversation before the message, or send the text as a new message after the page has loaded the messages again.',
  },
  unauthorized: {
    status: 401,
    title: 'Unauthorized',
    retryable: false,
    what: 'There is no bearer token, or it is not valid here. The reason is in the log of the service.',
    action: 'Send `Authorization: Bearer <token>` with a valid, unexpired token.',
  },
  insufficient_scope: {
    status: 403,
    title: 'Insufficient scope',
    retryable: false,
    what: 'The token is valid but lacks the scope that this operation needs.',
    action: 'Ask the issuer of your tokens for the scope that `WWW-Authenticate` names.',
  },
  not_found: {
    status: 404,
    title: 'Not found',
    retryable: false,
    what: 'There is no such address.',
    action: 'Compare the address with the API description at /docs.',
  },
  conversation_not_found: {
    status: 404,
    title: 'Conversation not found',
    retryable: false,
    what: 'There is no such conversation, or it is not yours.',
    action: 'Check the id and the user of the token.',
  },
  message_not_found: {
    status: 404,
    title: 'Message not found',
    retryable: false,
    what: 'The conversation has no such message in its thread. A superseded message does not count.',
    action: 'Load the messages of the conversation again.',
  },
  run_not_found: {
    status: 404,
    title: 'Run not found',
    retryable: false,
    what: 'There is no such run, it is not yours, or its conversation was deleted.',
    action: 'Check the id and the user of the token.',
  },
  delivery_not_found: {
    status: 404,
    title: 'Delivery not found',
    retryable: false,
    what: 'There is no such webhook delivery, or it is not about a run or a conversation of yours.',
    action: 'Check the id and the user of the token. Deliveries are kept as long as runs.',
  },
  action_not_found: {
    status: 404,
    title: 'Action not found',
    retryable: false,
    what: 'The run has no such action, it is not yours to answer, or its conversation was deleted.',
    action: 'Take `runId` and `actionId` from the `pendingActions` of a run, or from the list of actions.',
  },
  method_not_allowed: {
    status: 405,
    title: 'Method not allowed',
    retryable: false,
    what: 'The address exists, but not for this method; `Allow` lists those that work.',
    action: 'Use one of the methods in `Allow`.',
  },
  request_timeout: {
    status: 408,
    title: 'Request timeout',
    retryable: true,
    what: 'The request did not arrive completely within 30 seconds.',
    action: 'Send the request again.',
  },
  conversation_busy: {
    status: 409,
    title: 'Conversation busy',
    retryable: true,
    what: 'The conversation has an unfinished run and the request said `ifBusy: "reject"`.',
    action: 'Wait for `activeRunId` to end, or choose `enqueue` or `interrupt`.',
  },
  conversation_queue_full: {
    status: 409,
    title: 'Conversation queue full',
    retryable: true,
    what: 'Ten runs of the conversation are unfinished.',
    action: 'Wait for one of them to end.',
  },
  action_decided: {
    status: 409,
    title: 'Action decided',
    retryable: false,
    what: 'Another answer about the tool call counts already, or the call was denied because nobody had answered in time or the conversation went on.',
    action:
      '`decision` says what was decided. Poll the run: `continuedBy` names the run with which the turn goes on.',
  },
  agent_mismatch: {
    status: 409,
    title: 'Another agent has this conversation',
    retryable: false,
    what: 'The first turn of a conversation decides which agent answers in it. The request names another one; `agent` is that of the conversation.',
    action: 'Leave `agent` out, or begin a new conversation.',
  },
  turn_not_last: {
    status: 409,
    title: 'Not the last turn',
    retryable: false,
    what: 'Only the newest answer of a conversation can be asked for again. A later turn stands behind this one, or its run was replaced by the run `supersededBy`. `headMessageId` is the newest message of the conversation.',
    action:
      'Load the messages of the conversation again; to go on from an earlier message, edit it or fork there.',
  },
  conversation_changed: {
    status: 409,
    title: 'Conversation has changed',
    retryable: false,
    what: 'The conversation holds messages that are missing from `messages`: another page has sent them, or this page has removed them. `headMessageId` is the newest message of the conversation.',
    action:
      'Load the messages of the conversation again, then send the message once more. A page that has removed messages on purpose sends `headMessageId` along.',
  },
  conversation_too_long: {
    status: 409,
    title: 'Conversation too long',
    retryable: false,
    what: 'A fork copies 1,000 messages at most.',
    action:
      'Fork at an earlier message, or start a new conversation with the newest messages as its `history`.',
  },
  idempotency_in_progress: {
    status: 409,
    title: 'First request still in progress',
    retryable: true,
    what: 'A request with the same Idempotency-Key has not been dispatched yet.',
    action: 'Send the same request again after `retryAfter` seconds.',
  },
  stream_expired: {
    status: 410,
    title: 'Stream expired',
    retryable: false,
    what: 'The stream of this run is no longer kept in full.',
    action: 'Poll the run: the whole answer is there.',
  },
  feed_expired: {
    status: 410,
    title: 'Feed position expired',
    retryable: false,
    what: 'The events after `Last-Event-ID` are no longer kept in full: ids are valid for an hour.',
    action: 'Open the feed without an id, and load the runs and conversations again.',
  },
  payload_too_large: {
    status: 413,
    title: 'Payload too large',
    retryable: false,
    what: 'The body exceeds 2 MiB.',
    action: 'Send a smaller body.',
  },
  engine_payload_too_large: {
    status: 413,
    title: 'Message too large for the run engine',
    retryable: false,
    what: 'The message does not fit into the 120 KiB that a run can carry inline.',
    action:
      'Shorten the message, or let the operator set TRIGGER_LARGE_PAYLOADS where an object store exists.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'Unsupported media type',
    retryable: false,
    what: 'The body is not `application/json`, or it is compressed.',
    action: 'Send plain JSON with `content-type: application/json` and no `Content-Encoding`.',
  },
  expectation_failed: {
    status: 417,
    title: 'Expectation failed',
    retryable: false,
    what: 'The `Expect` header asks for something other than `100-continue`.',
    action: 'Leave `Expect` out.',
  },
  idempotency_key_mismatch: {
    status: 422,
    title: 'Idempotency-Key reused',
    retryable: false,
    what: 'The key was used before with another turn.',
    action: 'Use a new key for a new turn.',
  },
  rate_limited: {
    status: 429,
    title: 'Rate limit exceeded',
    retryable: true,
    what: 'The user, the actor or, with bad tokens, the address has used up the requests of the current window.',
    action:
      'Wait `retryAfter` seconds; then the request is accepted, unless other requests have used up the budget.',
  },
  too_many_streams: {
    status: 429,
    title: 'Too many open streams',
    retryable: true,
    what: 'The user has as many open streams, or as many open feeds, on this instance as one user may have. No run was started.',
    action: 'Close a stream that is read no more, or poll the run. `retryAfter` says when to try again.',
  },
  budget_exhausted: {
    status: 429,
    title: 'Budget exhausted',
    retryable: true,
    what: 'Of the tokens that the user or the actor may use on this day (UTC), fewer are left than a run needs. Unfinished runs hold some of them reserved.',
    action:
      'Wait `retryAfter` seconds, until the day ends, or for the end of unfinished runs; `GET /api/agent/usage` says what is left.',
  },
  headers_too_large: {
    status: 431,
    title: 'Headers too large',
    retryable: false,
    what: 'Address and headers of the request exceed 128 KiB.',
    action: 'Send a shorter address, fewer or shorter headers.',
  },
  internal: {
    status: 500,
    title: 'Internal error',
    retryable: true,
    what: 'An unexpected error occurred in the service. Its log has the cause.',
    action: 'Tell the operator the `requestId`.',
  },
  engine_refused: {
    status: 502,
    title: 'Run engine refused the request',
    retryable: false,
    what: 'Trigger.dev refuses the calls of this service until the operator acts. No part of the request remains.',
    action: 'Tell the operator the `detail` and the `requestId`; the log has the words of Trigger.dev.',
  },
  engine_unavailable: {
    status: 503,
    title: 'Run engine unavailable',
    retryable: true,
    what: 'Trigger.dev is away, limits the calls of this service or did not answer in time. No part of the request remains visible.',
    action: 'Retry after `retryAfter` seconds, with the same Idempotency-Key if you sent one.',
  },
  database_unavailable: {
    status: 503,
    title: 'Database unavailable',
    retryable: true,
    what: 'The database is away, refuses this service, takes no writes, or did not answer at all.',
    action: 'Retry after `retryAfter` seconds.',
  },
  query_timeout: {
    status: 504,
    title: 'Database query timed out',
    retryable: true,
    what: 'The database works, but needed more than 4 seconds for one query. The query was cut off and has changed nothing.',
    action:
      'Send the request again later. For a list `retryable` is false: ask for less, with a smaller `limit` or another filter.',
  },
  key_set_unavailable: {
    status: 503,
    title: 'Key set unavailable',
    retryable: true,
    what: 'The key set that tokens are verified with has never been reachable.',
    action: 'Retry after `retryAfter` seconds; the operator checks AUTH_JWKS_URL.',
  },
  shutting_down: {
    status: 503,
    title: 'Shutting down',
    retryable: true,
    what: 'This instance is draining before it stops.',
    action: 'Retry: another instance answers.',
  },
} as const satisfies Record<string, ProblemDefinition>

export type ProblemCode = keyof typeof PROBLEMS

/** One fault of a request: `path` is a JSON pointer into the part that `in` names (body when absent). */
export interface Fault {
  path: string
  message: string
  in?: 'path' | 'query' | 'header'
}

export interface ProblemDetails {
  /** A sentence about this one occurrence; never carries internals. */
  detail?: string
  /** Whole seconds ≥ 1; sent as `retryAfter` and as `Retry-After`. */
  retryAfter?: number
  headers?: Record<string, string>
  /** For an occurrence that differs from the register. */
  retryable?: boolean
  /** Further members of the body that the code defines. */
  members?: {
    errors?: Fault[]
    activeRunId?: string | null
    headMessageId?: string | null
    supersededBy?: string | null
    decision?: { status: string; decidedAt: string; decidedBy?: string }
    agent?: string
  }
  /** The real cause, which is logged and never sent. */
  cause?: unknown
}

/** A refusal on its way to the caller; the errors plugin turns it into `application/problem+json`. */
export class Problem extends Error {
  readonly code: ProblemCode
  readonly statusCode: number
  readonly details: ProblemDetails

  constructor(code: ProblemCode, details: ProblemDetails = {}) {
    super(details.detail ?? PROBLEMS[code].title, { cause: details.cause })
    this.name = 'Problem'
    this.code = code
    this.statusCode = PROBLEMS[code].status
    this.details = details
  }
}

/** `throw problem('conversation_not_found')`. 503 and 409 that can be retried always say when. */
export function problem(code: ProblemCode, details: ProblemDetails = {}): Problem {
  const { status, retryable } = PROBLEMS[code]
  const waits = retryable && (status === 503 || status === 409)
  return new Problem(code, waits ? { retryAfter: 1, ...details } : details)
}
