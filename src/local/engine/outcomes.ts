import { internalErrorFromUnexpectedExit, UnexpectedExitError } from '@trigger.dev/core/v3/errors'
import type { TaskRunError } from '@trigger.dev/core/v3/schemas'
import type { RunState } from './run.ts'

/** Errors that the task caused, although the executor calls them internal. */
const TASK_ERRORS = new Set([
  'TASK_INPUT_ERROR',
  'TASK_OUTPUT_ERROR',
  'TASK_MIDDLEWARE_ERROR',
  'TASK_RUN_UNCAUGHT_EXCEPTION',
])
/** Exits of a child that the task caused. */
const CRASHES = new Set([
  'HANDLE_ERROR_ERROR',
  'TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE',
  'TASK_PROCESS_OOM_KILLED',
  'TASK_PROCESS_MAYBE_OOM_KILLED',
  'TASK_PROCESS_SIGSEGV',
])

/** The final state of a run that failed with this error and is not retried. */
export function stateOfError(error: TaskRunError): RunState {
  if (error.type !== 'INTERNAL_ERROR' || TASK_ERRORS.has(error.code)) return 'COMPLETED_WITH_ERRORS'
  if (error.code === 'MAX_DURATION_EXCEEDED') return 'TIMED_OUT'
  return CRASHES.has(error.code) ? 'CRASHED' : 'SYSTEM_FAILURE'
}

/** The error by which Trigger.dev reports the exit of a process in the middle of a run. */
export function errorOfExit(code: number | null, signal: NodeJS.Signals | null): TaskRunError {
  return internalErrorFromUnexpectedExit(new UnexpectedExitError(code ?? -1, signal, undefined), false)
}
