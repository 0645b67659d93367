import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { printable } from '../../clients/terminal/screen.ts'
import { until } from '../services/rows.ts'
import { type Service, startService, token } from '../support/service.ts'

/** The program in a child process, whose terminal is a pair of pipes. */
async function openTerminal(t: Test, environment: Record<string, string>) {
  const { PATH = '', NODE_COMPILE_CACHE = '' } = process.env
  const child: ChildProcess = spawn(process.execPath, ['src/bin/launch.mjs', '../../clients/terminal/main'], {
    env: { PATH, NODE_COMPILE_CACHE, ENV_FILE: '', ...environment },
  })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  let read = 0
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const ended = once(child, 'exit')
  return {
    ended,
    output: () => output,
    type: (line: string) => child.stdin?.write(`${line}\n`),
    interrupt: () => child.kill('SIGINT'),
    hangUp: () => child.stdin?.end(),
    /** Waits for such a text behind the last one that was waited for. */
    async shows(pattern: RegExp): Promise<RegExpMatchArray> {
      const found = await until(async () => {
        if (child.exitCode !== null && !pattern.test(output.slice(read)))
          throw new Error(`the program has ended without ${pattern}:\n${output}`)
        return pattern.exec(output.slice(read)) ?? undefined
      })
      read += found.index + found[0].length
      return found
    },
  }
}

const settings = async (service: Service) => ({ AGENT_URL: service.url, AGENT_TOKEN: await token('alice') })

t.test('a person talks with the agent in a terminal', async (t) => {
  const service = await startService(t)
  const terminal = await openTerminal(t, await settings(service))
  await terminal.shows(/Talking with the agent at \S+\. .*\n/)
  terminal.type('Think: what is 17 * 23?')
  await terminal.shows(
    /\[the agent thinks\]\n\[calculate \{"expression":"17 \* 23"\}\]\n\[answered .*391.*\]\n/,
  )
  await terminal.shows(/17 \* 23 = 391\.\n\[completed, stop, \d+ tokens, \d+\.\d s\]\n/)

  terminal.type('/retry')
  await terminal.shows(/17 \* 23 = 391\.\n\[completed/)
  terminal.type('[[fail]] Hello')
  await terminal.shows(/\w+\.\n\[failed/)

  terminal.type('[[stall-after:4]] Tell me a story')
  await terminal.shows(/(\w+ ){3}/)
  terminal.interrupt()
  await terminal.shows(/\[cancelled/)

  terminal.type('/new')
  terminal.type('Hello')
  await terminal.shows(/Hello! How can I help you\?\n\[completed/)
  terminal.type('/list')
  const [, id = ''] = await terminal.shows(
    /\*1\. Hello .*\n 2\. Think: what is 17 \* 23\? {2}([\da-f-]{36})\n/,
  )
  terminal.type('/open 2')
  await terminal.shows(/> Think: what is 17 \* 23\?\n17 \* 23 = 391\.\n/)
  terminal.type('What was my first question?')
  await terminal.shows(/Your first message was: "Think: what is 17 \* 23\?"\n\[completed/)
  const { body } = await service.call('GET', `/api/agent/conversations/${id}/messages`)
  t.equal(
    body.data.at(-2).text,
    'What was my first question?',
    'it was asked in the conversation that was opened',
  )

  terminal.type('/open nothing')
  await terminal.shows(/must|uuid|match/i)
  terminal.type('/dance')
  await terminal.shows(/There is no \/dance\. \/help shows the commands\./)
  terminal.type('/approve')
  await terminal.shows(/The agent does not wait for such a decision\./)
  terminal.interrupt()
  t.same(await terminal.ended, [0, null], 'Ctrl-C at the prompt ends the program')
})

t.test('a person decides in a terminal what the agent may do', async (t) => {
  const service = await startService(t)
  const terminal = await openTerminal(t, await settings(service))
  terminal.type('Send Ada a note: lunch at one')
  await terminal.shows(
    /1\. The agent wants to use send_note \{.*"lunch at one".*\}\. Send this note to Ada\?\n\/approve, or \/deny and why\?\n/,
  )
  terminal.type('/approve 2')
  await terminal.shows(/The agent does not wait for such a decision\./)
  terminal.type('/approve')
  await terminal.shows(/\[send_note: approved\]\n/)
  await terminal.shows(/The tool "send_note" returned .*"sent":true.*\n\[completed, stop/)
  terminal.type('/approve')
  await terminal.shows(/The agent does not wait for such a decision\./)

  terminal.type('Send Eve a note: see you')
  await terminal.shows(/Send this note to Eve\?/)
  terminal.type('/deny It is too late.')
  await terminal.shows(/\[send_note: denied\]\n/)
  await terminal.shows(/was not executed: It is too late\.\n\[completed, stop/)

  const { body } = await service.call('GET', '/api/agent/chat?limit=10')
  const asked = body.data.filter((run: { finishReason?: string }) => run.finishReason === 'action_required')
  t.equal(asked.length, 2)
  t.equal(body.data.length, 4, 'each decision has started one continuation')
  terminal.hangUp()
  t.same(await terminal.ended, [0, null])
})

t.test('an answer that is being written goes on in another terminal', async (t) => {
  const service = await startService(t)
  const { body } = await service.call('POST', '/api/agent/chat', {
    body: { message: '[[stall-after:4]] Tell me a story' },
  })
  const terminal = await openTerminal(t, await settings(service))
  terminal.type(`/open ${body.conversationId}`)
  await terminal.shows(/(\w+ ){3}/)
  await service.call('POST', `/api/agent/chat/${body.runId}/cancel`)
  await terminal.shows(/\[cancelled/)
  terminal.hangUp()
  t.same(await terminal.ended, [0, null])
})

t.test('what keeps the program from talking is one sentence', async (t) => {
  const nowhere = await openTerminal(t, { AGENT_URL: 'http://127.0.0.1:1', AGENT_TOKEN: 'x' })
  t.same(await nowhere.ended, [1, null])
  t.equal(nowhere.output(), 'No service answers at http://127.0.0.1:1. `npm start` starts one.\n')
  const service = await startService(t)
  const stranger = await openTerminal(t, { AGENT_URL: service.url, AGENT_TOKEN: 'x' })
  t.same(await stranger.ended, [1, null])
  t.match(stranger.output(), /^The service does not accept the token: .*\n$/)
  const production = await openTerminal(t, { AGENT_URL: service.url, NODE_ENV: 'production' })
  t.same(await production.ended, [1, null])
  t.match(production.output(), /^Tokens for production .* Set AGENT_TOKEN to a token for this service\.\n$/)
})

t.test('what the agent says is no command for the terminal', (t) => {
  t.equal(printable('a\u001b[2Jb\u009b1mc\u202ed\r\n\te'), 'a[2Jb1mcd\n\te')
  t.end()
})
