/** `info.description` of the API description: what a developer needs before the first request, in half a page. */
export const API_OVERVIEW = `
A message to the agent is a *turn*; its execution is a durable *run*, which goes on when your connection ends.

1. **Start**: \`POST /api/agent/chat\` with \`{"message": "What is 17 * 23?"}\` answers at once with a \`runId\` and a
   \`conversationId\`.
2. **Wait**: \`GET /api/agent/chat/{runId}?wait=30\` answers when the run has changed, or after 30 seconds. Repeat it while
   \`status\` is \`queued\` or \`running\`.
3. **Read**: a \`completed\` run has the answer in \`text\`. A \`failed\` run says why in \`error\`. A \`cancelled\` run has the
   part of the answer that was written. Send the \`conversationId\` with the next message to go on.

\`POST /api/agent/chat/sync\` does all three in one request; \`POST /api/agent/chat/stream\` sends the answer while it is
written.

**Tokens.** Send \`Authorization: Bearer <JWT>\` with \`sub\`, \`exp\` and the scopes \`agent:read\` and \`agent:write\`. All data
belongs to the user in \`sub\`. A gateway with the scope \`agent:delegate\` names its user in \`X-Effective-User\`. A
request for data of another user is answered with 404, like a request for data that does not exist.

**Retries.** Send an \`Idempotency-Key\` with every start: a repeated request with the same key is answered with the first
run (\`Idempotency-Replayed: true\`) and starts nothing. All other operations may simply be repeated.

**Limits.** Starts and reads are counted for each user. \`RateLimit\` says how many requests are left; 429 says in
\`Retry-After\` when to try again. A body has at most 2 MiB and 250,000 values, a list at most 100 items a page
(\`cursor\`).

**Errors.** Every refusal is \`application/problem+json\`: branch on \`code\`, repeat the request when \`retryable\` is true,
after \`retryAfter\` seconds where that is given, and tell the operator the \`requestId\`. \`GET /problems/{code}\` explains
a code. A failed run is no refusal: its poll is answered with 200. Streams that are asked for with \`?ui=\` or
\`Accept: text/plain\` are refused with one plain sentence for people instead. Any address can answer with 405
(\`method_not_allowed\`), and bytes that are not HTTP with 400, 408, 417 or 431.

Every answer carries \`X-Request-Id\`, \`Cache-Control\` and \`X-Content-Type-Options: nosniff\`. Clients should tolerate
fields that they do not know.
`.trim()
