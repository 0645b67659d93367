import t from 'tap'
import { cases } from './conformance/cases.ts'
import { Unable } from './conformance/suite.ts'
import { openTarget } from './conformance/target.ts'

const target = await openTarget()
t.teardown(() => target.stop())

// The same cases run against any server by conformance/run.ts; the local engine must be able to do all of them.
for (const { name, run } of cases) {
  t.test(name, async (t) => {
    try {
      await run(target)
      t.pass(name)
    } catch (error) {
      if (error instanceof Unable) t.fail(`unable: ${error.message}`)
      else throw error
    }
  })
}
