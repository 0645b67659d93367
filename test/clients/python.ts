import { execFileSync } from 'node:child_process'
import type { Test } from 'tap'
import { startProcess } from '../support/process.ts'

/** The sentence with which a test is skipped, or false. */
export const skip = ((): string | false => {
  try {
    const version = execFileSync('python3', ['-c', 'import sys; print(sys.version_info >= (3, 9))'])
    return version.toString().trim() === 'True' ? false : 'python3 is older than 3.9'
  } catch {
    return 'there is no python3'
  }
})()

/** Runs a program of the folder `python` with the client from its source, and gives the last line of its output. */
export async function python(t: Test, name: string, environment: Record<string, string>): Promise<string> {
  const { ended, output } = startProcess(t, ['python3', `test/clients/python/${name}.py`], {
    environment: { PYTHONPATH: 'clients/python/src', PYTHONDONTWRITEBYTECODE: '1', ...environment },
  })
  const { code } = await ended
  if (code !== 0) throw new Error(output())
  return output().split('\n').at(-1) ?? ''
}
