# Written by clients/python/types.ts from openapi.yaml. Do not edit.
from typing import Any, Dict, List, Literal, TypedDict, Union

class _PendingAction(TypedDict):
    actionId: str
    toolCallId: str
    toolName: str
    args: Any
    kind: 'ActionKind'
    createdAt: str
    expiresAt: str


class PendingAction(_PendingAction, total=False):
    """A tool call for which a turn waits."""

    message: str


class RetryBody(TypedDict, total=False):
    """The options of a retry."""

    ifBusy: 'Union[IfBusy, None]'
    metadata: Union[Dict[str, str], None]
    context: 'Union[Context, None]'
    limits: 'Union[Limits, None]'
    responseFormat: 'Union[ResponseFormat, None]'
    webhook: 'Union[TurnWebhook, None]'


class _RunStarted(TypedDict):
    runId: str
    status: Literal["queued"]


class RunStarted(_RunStarted, total=False):
    """The run was accepted."""

    conversationId: str


class _RunSummary(TypedDict):
    runId: str
    status: 'RunStatus'
    agent: str
    createdAt: str
    metadata: 'Metadata'


class RunSummary(_RunSummary, total=False):
    """A run without its contents."""

    conversationId: str
    actor: str
    retryOf: str
    supersededBy: str
    continues: str
    continuedBy: str
    startedAt: str
    finishedAt: str
    cancelRequestedAt: str
    error: str
    errorCode: 'RunErrorCode'
    retryable: bool
    retryAfter: int
    finishReason: 'FinishReason'
    steeredBy: str
    pendingActions: 'List[PendingAction]'
    steps: int
    model: str
    usage: 'Usage'
    timings: 'Timings'
    history: 'HistoryCounts'
    warnings: 'List[Warning]'


class _StreamBody(TypedDict):
    messages: 'List[UiMessage]'


class StreamBody(_StreamBody, total=False):
    """One turn as the AI SDK’s chat transport sends it."""

    conversationId: Union[str, None]
    id: Any
    agent: Union[str, None]
    ifBusy: 'Union[IfBusy, None]'
    metadata: 'Union[Metadata, None]'
    context: 'Union[Context, None]'
    limits: 'Union[Limits, None]'
    responseFormat: 'Union[ResponseFormat, None]'
    webhook: 'Union[TurnWebhook, None]'
    currentPage: Any
    trigger: Any
    messageId: Any
    approvalResponse: Union[Dict[str, Any], None]
    headMessageId: Union[str, None]


class _ToolCall(TypedDict):
    toolCallId: str
    toolName: str
    args: Any


class ToolCall(_ToolCall, total=False):
    """One call of a tool by the agent."""

    result: Any


class _TurnBody(TypedDict):
    message: str


class TurnBody(_TurnBody, total=False):
    """One turn: a message for the agent."""

    history: 'Union[List[HistoryMessage], None]'
    conversationId: Union[str, None]
    agent: Union[str, None]
    ifBusy: 'Union[IfBusy, None]'
    metadata: 'Union[Metadata, None]'
    context: 'Union[Context, None]'
    limits: 'Union[Limits, None]'
    responseFormat: 'Union[ResponseFormat, None]'
    webhook: 'Union[TurnWebhook, None]'


class _Action(TypedDict):
    actionId: str
    toolCallId: str
    toolName: str
    args: Any
    kind: 'ActionKind'
    createdAt: str
    expiresAt: str
    runId: str


class Action(_Action, total=False):
    """A tool call for which a run waits."""

    message: str
    conversationId: str
    userId: str


class ActionBody(TypedDict, total=False):
    """An answer about a tool call: exactly one of `decision`, `output` and `error`."""

    decision: Union[Literal["approve", "deny"], None]
    reason: Union[str, None]
    output: Any
    error: Union[str, None]


class _ActionDecided(TypedDict):
    actionId: str
    runId: str
    status: 'ActionResult'
    decidedAt: str
    pending: int


class ActionDecided(_ActionDecided, total=False):
    """What was decided about a tool call."""

    decidedBy: str
    continuedBy: str


class AgentList(TypedDict):
    """The agents that you may ask."""

    data: 'List[Agent]'


class _Conversation(TypedDict):
    id: str
    title: str
    metadata: 'Metadata'
    createdAt: str
    updatedAt: str
    lastActivityAt: str
    activeRunId: Union[str, None]


class Conversation(_Conversation, total=False):
    """A thread of messages, owned by one user."""

    agent: str
    expiresAt: str
    summary: str
    summarizedThrough: str


class _Message(TypedDict):
    id: str
    role: Literal["user", "assistant"]
    text: str
    parts: 'List[MessagePart]'
    status: 'MessageStatus'
    metadata: 'MessageMetadata'
    createdAt: str


class Message(_Message, total=False):
    """One message of a conversation."""

    error: str
    errorCode: 'RunErrorCode'
    finishReason: 'FinishReason'
    superseded: bool
    runId: str


_UsageReport = TypedDict(
    "_UsageReport",
    {
        "from": str,
        "to": str,
        "groupBy": Literal["day", "agent", "model"],
        "data": 'List[UsageOfGroup]',
        "total": 'UsageTotal',
    },
    total=True,
)


class UsageReport(_UsageReport, total=False):
    """What your ended runs have used."""

    budget: 'Budget'


class _WebhookDelivery(TypedDict):
    id: str
    event: 'WebhookEvent'
    userId: str
    status: 'WebhookDeliveryStatus'
    attempts: int
    createdAt: str


class WebhookDelivery(_WebhookDelivery, total=False):
    """One event on its way to one receiver."""

    conversationId: str
    runId: str
    endpoint: str
    url: str
    lastAttemptAt: str
    nextAttemptAt: str
    finishedAt: str
    responseStatus: int
    errorCode: 'WebhookErrorCode'
    error: str


class _Fault(TypedDict):
    path: str
    message: str


Fault = TypedDict(
    "Fault",
    {
        "in": Literal["path", "query", "header"],
    },
    total=False,
)


class _Decision(TypedDict):
    status: Literal["approved", "denied", "answered", "expired"]
    decidedAt: str


class Decision(_Decision, total=False):
    """What was decided; `action_decided` only."""

    decidedBy: str


class Limits(TypedDict, total=False):
    """Bounds of this turn; the lower one of each and of the operator’s own counts. A turn that meets one is `completed`, with the answer as far as it was written, and `finishReason` names the bound."""

    maxSteps: Union[int, None]
    maxOutputTokens: Union[int, None]
    maxTotalTokens: Union[int, None]
    maxSeconds: Union[int, None]


class ResponseFormat(TypedDict):
    """The answer is one JSON object that fits the schema: `output` of the run. An answer that does not fit is repaired once; then the run fails with `output_invalid`."""

    type: Literal["json_schema"]
    name: str
    schema: Dict[str, Any]


class TurnWebhook(TypedDict):
    """Where the end of the run is reported, by Standard Webhooks: the events `run.completed`, `run.failed` and `run.cancelled`."""

    url: str


class Queue(TypedDict):
    """Place of a queued run in its conversation."""

    position: int
    ahead: List[str]


class _QueuedRun(TypedDict):
    runId: str
    status: Literal["queued"]
    agent: str
    createdAt: str
    metadata: 'Metadata'


class QueuedRun(_QueuedRun, total=False):
    """A run that waits for its execution."""

    conversationId: str
    actor: str
    retryOf: str
    supersededBy: str
    continues: str
    continuedBy: str
    queue: 'Queue'
    cancelRequestedAt: str


class _RunningRun(TypedDict):
    runId: str
    status: Literal["running"]
    agent: str
    createdAt: str
    metadata: 'Metadata'


class RunningRun(_RunningRun, total=False):
    """A run that the agent works on."""

    conversationId: str
    actor: str
    retryOf: str
    supersededBy: str
    continues: str
    continuedBy: str
    startedAt: str
    cancelRequestedAt: str


class _ModelMessagePart(TypedDict):
    type: str


class ModelMessagePart(_ModelMessagePart, total=False):
    text: str
    toolCallId: str
    toolName: str
    input: Any
    output: Dict[str, Any]


class ModelMessage(TypedDict):
    """A `ModelMessage` of the AI SDK: what the model read or wrote."""

    role: Literal["user", "assistant", "tool"]
    content: 'List[ModelMessagePart]'


class _Usage(TypedDict):
    inputTokens: int
    outputTokens: int
    totalTokens: int


class Usage(_Usage, total=False):
    """Tokens of all steps of the turn."""

    cachedInputTokens: int
    reasoningTokens: int
    estimated: bool


class Timings(TypedDict, total=False):
    """Milliseconds."""

    queuedMs: int
    firstTokenMs: int
    durationMs: int


class HistoryCounts(TypedDict):
    """What the prompt had of the conversation before the message."""

    sent: int
    summarized: int
    dropped: int


class Warning(TypedDict):
    code: str
    message: str


class _CompletedRun(TypedDict):
    runId: str
    status: Literal["completed"]
    agent: str
    createdAt: str
    metadata: 'Metadata'
    finishedAt: str
    text: str
    messages: 'List[ModelMessage]'
    toolCalls: 'List[ToolCall]'


class CompletedRun(_CompletedRun, total=False):
    """A run with its whole answer."""

    conversationId: str
    actor: str
    retryOf: str
    supersededBy: str
    continues: str
    continuedBy: str
    startedAt: str
    finishReason: 'FinishReason'
    steeredBy: str
    pendingActions: 'List[PendingAction]'
    output: Any
    messageId: str
    truncated: bool
    steps: int
    model: str
    usage: 'Usage'
    timings: 'Timings'
    history: 'HistoryCounts'
    warnings: 'List[Warning]'


class _FailedRun(TypedDict):
    runId: str
    status: Literal["failed"]
    agent: str
    createdAt: str
    metadata: 'Metadata'
    finishedAt: str
    error: str
    errorCode: 'RunErrorCode'
    retryable: bool
    text: str


class FailedRun(_FailedRun, total=False):
    """A run that ended with an error, and what there was of its answer."""

    conversationId: str
    actor: str
    retryOf: str
    supersededBy: str
    continues: str
    continuedBy: str
    startedAt: str
    retryAfter: int
    toolCalls: 'List[ToolCall]'
    messageId: str
    truncated: bool
    steps: int
    model: str
    usage: 'Usage'
    timings: 'Timings'
    history: 'HistoryCounts'
    warnings: 'List[Warning]'
    cancelRequestedAt: str


class _CancelledRun(TypedDict):
    runId: str
    status: Literal["cancelled"]
    agent: str
    createdAt: str
    metadata: 'Metadata'
    finishedAt: str
    text: str


class CancelledRun(_CancelledRun, total=False):
    """A run that was cancelled, and what there was of its answer."""

    conversationId: str
    actor: str
    retryOf: str
    supersededBy: str
    continues: str
    continuedBy: str
    startedAt: str
    toolCalls: 'List[ToolCall]'
    messageId: str
    truncated: bool
    steps: int
    model: str
    usage: 'Usage'
    timings: 'Timings'
    history: 'HistoryCounts'
    warnings: 'List[Warning]'
    cancelRequestedAt: str


class _UiMessage(TypedDict):
    role: Literal["system", "user", "assistant"]
    parts: List[Dict[str, Any]]


class UiMessage(_UiMessage, total=False):
    """A `UIMessage` of the AI SDK."""

    id: str


class _HistoryMessage(TypedDict):
    role: Literal["user", "assistant", "tool"]
    content: Union[str, List[Dict[str, Any]]]


class HistoryMessage(_HistoryMessage, total=False):
    providerOptions: Any


class AgentTool(TypedDict):
    """A function that the agent may call."""

    name: str
    description: str
    needsApproval: Union[bool, Literal["sometimes"]]


class Agent(TypedDict):
    """An agent that may be asked."""

    name: str
    description: str
    tools: 'List[AgentTool]'


class _MessagePart(TypedDict):
    type: str


class MessagePart(_MessagePart, total=False):
    """A part of a message; `type` says which fields it has."""

    text: str
    state: str
    toolCallId: str
    toolName: str
    input: Any
    output: Any
    errorText: str


class _MessageMetadata(TypedDict):
    conversationId: str


class MessageMetadata(_MessageMetadata, total=False):
    """For chat pages: the metadata that the message has in a stream, and the failure of a failed one. `{id, role, parts, metadata}` is a `UIMessage` of the AI SDK."""

    runId: str
    status: Literal["failed"]
    error: str
    errorCode: 'RunErrorCode'
    finishReason: 'FinishReason'


class _UsageOfGroup(TypedDict):
    runs: int
    completed: int
    failed: int
    cancelled: int
    inputTokens: int
    outputTokens: int
    totalTokens: int
    cachedInputTokens: int
    reasoningTokens: int
    estimated: int


class UsageOfGroup(_UsageOfGroup, total=False):
    """The runs of one day, agent or model."""

    day: str
    agent: str
    model: Union[str, None]


class UsageTotal(TypedDict):
    """All groups together."""

    runs: int
    completed: int
    failed: int
    cancelled: int
    inputTokens: int
    outputTokens: int
    totalTokens: int
    cachedInputTokens: int
    reasoningTokens: int
    estimated: int


class BudgetOfDay(TypedDict):
    """A budget of tokens."""

    limit: int
    used: int
    reserved: int
    left: int


class _Budget(TypedDict):
    day: str
    resetsAt: str
    perRun: int


class Budget(_Budget, total=False):
    """The budgets of today: of the user, and of the actor when one calls. Absent where none is set."""

    user: 'BudgetOfDay'
    actor: 'BudgetOfDay'


class RunPage(TypedDict):
    """A page of runs.."""

    data: 'List[RunSummary]'
    nextCursor: Union[str, None]
    hasMore: bool


class ActionPage(TypedDict):
    """A page of actions.."""

    data: 'List[Action]'
    nextCursor: Union[str, None]
    hasMore: bool


class ConversationPage(TypedDict):
    """A page of conversations.."""

    data: 'List[Conversation]'
    nextCursor: Union[str, None]
    hasMore: bool


class MessagePage(TypedDict):
    """A page of messages.."""

    data: 'List[Message]'
    nextCursor: Union[str, None]
    hasMore: bool


class WebhookDeliveryPage(TypedDict):
    """A page of deliveries.."""

    data: 'List[WebhookDelivery]'
    nextCursor: Union[str, None]
    hasMore: bool


class Liveness(TypedDict):
    """The process answers.."""

    status: Literal["ok"]


class _Readiness(TypedDict):
    status: Literal["ok", "degraded", "starting", "draining"]
    components: Dict[str, Literal["ok", "down"]]


class Readiness(_Readiness, total=False):
    """Whether this instance should get traffic."""

    details: Dict[str, Any]


class Home(TypedDict):
    """Where to go on."""

    service: str
    version: str
    links: Dict[str, str]


class _ProblemExplanation(TypedDict):
    type: str
    code: str
    title: str
    retryable: bool
    what: str
    action: str


class ProblemExplanation(_ProblemExplanation, total=False):
    """What a problem code means."""

    status: int


Run = Union[QueuedRun, RunningRun, CompletedRun, FailedRun, CancelledRun]


EndedRun = Union[CompletedRun, FailedRun, CancelledRun]


ProblemCode = Literal["invalid_request", "malformed_json", "malformed_http", "invalid_cursor", "invalid_stream_position", "agent_unknown", "regenerate_unsupported", "edit_unsupported", "unauthorized", "insufficient_scope", "not_found", "conversation_not_found", "message_not_found", "run_not_found", "delivery_not_found", "action_not_found", "method_not_allowed", "request_timeout", "conversation_busy", "conversation_queue_full", "action_decided", "agent_mismatch", "turn_not_last", "conversation_changed", "conversation_too_long", "idempotency_in_progress", "stream_expired", "feed_expired", "payload_too_large", "engine_payload_too_large", "unsupported_media_type", "expectation_failed", "idempotency_key_mismatch", "rate_limited", "too_many_streams", "budget_exhausted", "headers_too_large", "internal", "engine_refused", "engine_unavailable", "database_unavailable", "query_timeout", "key_set_unavailable", "shutting_down"]


ActionKind = Literal["approval", "tool_result"]


IfBusy = Literal["enqueue", "reject", "interrupt", "steer"]


Context = Dict[str, Any]


Metadata = Dict[str, str]


FinishReason = Literal["stop", "length", "content_filter", "step_limit", "token_limit", "time_limit", "tool_loop", "budget", "action_required", "steered", "other"]


RunErrorCode = Literal["task_failed", "crashed", "system_failure", "timed_out", "expired", "worker_lost", "output_unreadable", "provider_error", "provider_unreachable", "provider_rate_limited", "provider_overloaded", "provider_quota", "provider_auth", "provider_rejected", "provider_protocol", "model_not_found", "content_filtered", "context_overflow", "model_timeout", "model_interrupted", "output_invalid", "model_silent", "invalid_history", "agent_misconfigured", "agent_not_deployed", "payload_too_new", "internal"]


RunStatus = Literal["queued", "running", "completed", "failed", "cancelled"]


ActionResult = Literal["approved", "denied", "answered", "expired"]


MessageStatus = Literal["complete", "cancelled", "failed"]


WebhookEvent = Literal["run.completed", "run.failed", "run.cancelled", "run.action_required", "conversation.deleted"]


WebhookDeliveryStatus = Literal["pending", "delivered", "failed"]


WebhookErrorCode = Literal["address_refused", "host_unknown", "insecure_address", "redirected", "gone", "refused", "connection_failed", "timed_out", "endpoint_off", "receiver_unknown", "internal"]


UiVersion = Literal["5", "6", "7"]


MetadataPatch = Union[Dict[str, Union[str, None]], None]


class _Problem(TypedDict):
    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: 'ProblemCode'
    error: str
    retryable: bool
    requestId: str


class Problem(_Problem, total=False):
    """A refusal (RFC 9457)."""

    retryAfter: int
    errors: 'List[Fault]'
    activeRunId: Union[str, None]
    headMessageId: Union[str, None]
    supersededBy: Union[str, None]
    decision: 'Decision'
