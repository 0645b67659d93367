import type { components, operations } from './openapi.ts'

type Schemas = components['schemas']

/** Every problem that the service answers with, told apart by its `code`. */
export type Problem = OperationProblem | (Schemas['Problem'] & { code: OtherCode })
/** The document has a schema for each code that an operation names. */
type OperationProblem = Schemas[Exclude<Extract<keyof Schemas, `${string}Problem`>, 'Problem'>]
type OtherCode = Exclude<Schemas['ProblemCode'], OperationProblem['code']>
export type ProblemCode = Problem['code']
export type Fault = Schemas['Fault']

/** One question for the agent, and its options. */
export type Turn = Schemas['TurnBody']
export type RetryOptions = Schemas['RetryBody']
export type RunStarted = Schemas['RunStarted']

export type RunStatus = Schemas['RunStatus']
export type QueuedRun = Schemas['QueuedRun']
export type RunningRun = Schemas['RunningRun']
export type CompletedRun = Schemas['CompletedRun']
export type FailedRun = Schemas['FailedRun']
export type CancelledRun = Schemas['CancelledRun']
/** A run that has ended; `status` says how. */
export type EndedRun = CompletedRun | FailedRun | CancelledRun
/** A run in any state, told apart by its `status`. */
export type Run = QueuedRun | RunningRun | EndedRun
export type RunSummary = Schemas['RunSummary']

/** A call of a tool for which a turn waits: somebody approves it, or the caller executes it and tells the result. */
export type PendingAction = Schemas['PendingAction']
/** The same in the list of all that waits for the user, with its run. */
export type Action = Schemas['Action']
export type ActionAnswer =
  | { decision: 'approve' | 'deny'; reason?: string }
  | { output: unknown }
  | { error: string }
export type ActionDecided = Schemas['ActionDecided']

/** An agent of the service, with its tools. */
export type Agent = Schemas['Agent']

export type Conversation = Schemas['Conversation']
export type Message = Schemas['Message']
export type Usage = Schemas['Usage']
export type UsageReport = Schemas['UsageReport']

/** One page of a list. `nextCursor` is the `cursor` of the next page, and null on the last one. */
export interface Page<Item> {
  data: Item[]
  nextCursor: string | null
  hasMore: boolean
}

type Query<Name extends keyof operations> = NonNullable<operations[Name]['parameters']['query']>
export type PageQuery = Query<'listConversations'>
export type RunQuery = Query<'listAgentChats'>
export type MessageQuery = Query<'listMessages'>
export type UsageQuery = Query<'reportAgentUsage'>
export type ActionQuery = Query<'listActions'>
export type NewConversation = JsonBody<'createConversation'>
export type ConversationPatch = JsonBody<'patchConversation'>
type JsonBody<Name extends 'createConversation' | 'patchConversation'> = NonNullable<
  operations[Name]['requestBody']
>['content']['application/json']

export type WebhookEventType = Schemas['WebhookEvent']
