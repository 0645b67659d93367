import type { TextStreamPart, ToolSet } from 'ai'
import t from 'tap'
import { createUsageMeter } from '../../src/agent/usage.ts'

t.test('what a server reports that is no count is estimated', (t) => {
  for (const [inputTokens, outputTokens] of [
    [-5, 2],
    [3, 2.5],
    [1e19, 2],
    [Number.NaN, 2],
    [undefined, 2],
  ] as const) {
    const meter = createUsageMeter()
    meter.begin([{ role: 'user', content: 'Hello' }])
    for (const part of [
      { type: 'start-step' },
      { type: 'text-delta', text: 'Hi there, how are you?' },
      {
        type: 'finish-step',
        usage: {
          inputTokens,
          outputTokens,
          inputTokenDetails: { cacheReadTokens: -1 },
          outputTokenDetails: { reasoningTokens: 1 },
        },
      },
    ])
      meter.observe(part as TextStreamPart<ToolSet>)
    const usage = meter.total()
    t.match(usage, { estimated: true, reasoningTokens: 1 })
    t.notOk('cachedInputTokens' in usage)
    for (const tokens of [usage.inputTokens, usage.outputTokens])
      t.ok(Number.isSafeInteger(tokens) && tokens > 0, String(tokens))
  }
  t.end()
})
