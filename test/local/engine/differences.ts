/** One thing that the local engine does otherwise than a real server. */
export interface Difference {
  what: string
  why: string
  /** The recordings in which it shows, and how. */
  recorded?: Record<string, string[]>
  /** Recorded exchanges and other requests ("METHOD /path") that are answered 501 with the name of the endpoint. */
  notImplemented?: string[]
}

const NOBODY = 'nothing in this project calls this endpoint; another caller is answered 501 with its name'

/** All that is known. The replay of recordings allows these and no others, and makes sure that they are true. */
export const DIFFERENCES: Difference[] = [
  {
    what: 'a subscription to a run has the headers electric-handle and electric-offset',
    why: 'recorded without the SDK headers, for which the real server uses the names of an older protocol',
    recorded: {
      '81-realtime-run-subscribe-initial': ['header electric-handle: extra', 'header electric-offset: extra'],
    },
  },
  {
    what: 'a query that is refused is explained in the words of zod 4, not 3',
    why: 'the SDK takes `error` alone for its message, and that is the same',
    recorded: {
      'e4-list-page-too-large': [
        'body.details[0].type: missing',
        'body.details[0].exact: missing',
        'body.details[0].message: "Too big: expected number to be <=100" instead of "Number must be less than or equal to 100"',
        'body.details[0].origin: extra',
      ],
    },
  },
  {
    what: 'a run is CRASHED as soon as its process has died, with the reason of a process that was killed',
    why:
      'a real server notices a lost worker by the silence of its heartbeat, after minutes, or by the end of the ' +
      'development CLI, and says CANCELED (development) or FAILED (deployed); here the engine sees the process end',
    recorded: {
      'h1-retrieve-worker-lost-dev': [
        'body.status: "CRASHED" instead of "CANCELED"',
        'body.isCancelled: false instead of true',
        'body.error.message: "trigger.dev internal error (TASK_PROCESS_MAYBE_OOM_KILLED)" instead of "trigger.dev internal error (TASK_RUN_STALLED_EXECUTING)"',
      ],
      'h2-retrieve-dev-cli-exited': [
        'body.status: "CRASHED" instead of "CANCELED"',
        'body.isCancelled: false instead of true',
        'body.error.message: "trigger.dev internal error (TASK_PROCESS_MAYBE_OOM_KILLED)" instead of "Dev session ended (CLI exited)"',
      ],
      'h3-retrieve-worker-lost-prod': [
        'body.status: "CRASHED" instead of "FAILED"',
        'body.region: "clocalenvironment00000000" instead of "local"',
        'body.error.message: "trigger.dev internal error (TASK_PROCESS_MAYBE_OOM_KILLED)" instead of "trigger.dev internal error (TASK_RUN_STALLED_EXECUTING)"',
      ],
    },
  },
  {
    what: 'a subscription is told of every change',
    why:
      'a real server loses some under load, which most tests are not about; the switch `loseEvents` loses a share ' +
      'of them',
  },
  {
    what: 'no triggerAndWait: a child run is always one that was triggered',
    why: `waits are missing (below), and a parent that waited would never be woken`,
    recorded: {
      'a6-retrieve-parent': [
        'body.relatedRuns.children[0].triggerFunction: "trigger" instead of "triggerAndWait"',
      ],
    },
  },
  {
    what: 'no waits: wait.*, tokens, triggerAndWait',
    why: NOBODY,
    notImplemented: [
      '99-waitpoint-token-create',
      '99b-waitpoint-token-complete',
      '99c-waitpoint-token-retrieve',
      'GET /api/v1/waitpoints/tokens',
      'POST /engine/v1/runs/run_x/wait/duration',
      'POST /engine/v1/runs/run_x/waitpoints/tokens/waitpoint_x/wait',
    ],
  },
  {
    what: 'no batches, input streams, sessions',
    why: NOBODY,
    notImplemented: [
      'POST /api/v2/tasks/batch',
      'POST /api/v3/batches',
      'POST /api/v3/batches/batch_x/items',
      'GET /api/v2/batches/batch_x',
      'GET /api/v1/batches/batch_x/results',
      'GET /realtime/v1/batches/batch_x',
      'POST /realtime/v1/streams/run_x/input/in',
      'GET /realtime/v1/streams/run_x/input/in',
      'POST /api/v1/runs/run_x/input-streams/wait',
      'POST /api/v1/runs/run_x/session-streams/wait',
      'POST /api/v1/sessions',
      'GET /realtime/v1/sessions/session_x',
    ],
  },
  {
    what: 'nothing of the dashboard: who am I, schedules, queues, variables, deployments, traces, bulk actions …',
    why: NOBODY,
    notImplemented: [
      '15-whoami-dev-key',
      'd2-whoami',
      'POST /api/v1/auth/public-tokens',
      'GET /api/v1/schedules',
      'GET /api/v1/queues',
      'GET /api/v1/concurrency-limits',
      'GET /api/v1/projects/proj_x/runs',
      'GET /api/v1/projects/proj_x/envvars/dev',
      'GET /api/v1/deployments',
      'GET /api/v1/runs/run_x/trace',
      'GET /api/v1/runs/run_x/events',
      'POST /api/v1/bulk-actions',
      'GET /api/v1/prompts',
      'POST /api/v1/query',
      'GET /api/v1/webhooks/endpoints',
    ],
  },
  {
    what: 'debounce, priority, machine and region of a trigger have no effect',
    why: 'nothing in this project sets them; there is one machine, in one region',
  },
  {
    what: 'lists cannot be narrowed by batch, schedule, bulk action, machine and region (501)',
    why: 'no run has any of the first three, and all have the same of the others',
  },
  {
    what: 'with the switch `streams: "s2"`, the default, tasks write to the engine; HEAD counts lines, not writes',
    why: 'on a real server with S2 tasks write to S2 itself, in a protocol of its own; readers see no difference',
  },
  {
    what: 'with that switch the reader of a written stream is ended with the run, not after silence',
    why: 'tests would wait for minutes; the switch `streams: "redis"` ends readers as the real server does',
  },
  {
    what: 'a list has a run at once',
    why:
      'there is no replica that could lag behind; on a real server a run was in the list after 1.0 s (p50), at most ' +
      '1.6 s. The switch `listLagMs` makes lists lag',
  },
  {
    what: 'a run that blocks its process is TIMED_OUT ten seconds after its maximal duration',
    why:
      'the process of the engine watches the time; on a real server such a run was still EXECUTING two minutes after ' +
      'a limit of six seconds, and the deadline of the service ends it',
  },
  {
    what: 'a run begins at once, in a process that is warm',
    why: 'a deployed worker of a real server started a process for each run: 4.4 s from start to end (p50)',
  },
  {
    what: 'runs and their streams are forgotten with the process, after 24 hours, and when there are too many',
    why: 'everything is in memory; an id of an earlier engine is told as lost (x-run-lost)',
  },
]
