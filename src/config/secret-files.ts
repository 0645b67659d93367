import { readFileSync } from 'node:fs'
import { Settings } from './settings.ts'

type Environment = Record<string, string | undefined>

const SUFFIX = '_FILE'

/** The settings that have a twin `<name>_FILE` in the schema, so that their value may come from a file. */
export const SECRETS = Object.keys(Settings.properties).filter((name) => name + SUFFIX in Settings.properties)

/**
 * The environment, in which the contents of secret files take the place of their names. Docker and Kubernetes mount
 * secrets as files. White space around a secret is cut off. Files are read once, at the start.
 *
 * @returns faults that name the variables and never show a value
 */
export function readSecretFiles(environment: Environment): { environment: Environment; faults: string[] } {
  const complete = { ...environment }
  const faults: string[] = []
  for (const name of SECRETS) {
    const path = environment[name + SUFFIX]?.trim()
    if (!path) continue
    if (environment[name]?.trim()) {
      faults.push(`${name}, ${name}${SUFFIX}: set one of them, not both`)
      continue
    }
    const secret = contentOf(path)
    if ('fault' in secret) faults.push(`${name}${SUFFIX}: ${secret.fault}`)
    else complete[name] = secret.value
  }
  return { environment: complete, faults }
}

function contentOf(path: string): { value: string } | { fault: string } {
  try {
    const value = readFileSync(path, 'utf8').trim()
    return value === '' ? { fault: 'the file is empty' } : { value }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${error.code})` : ''
    return { fault: `the file cannot be read${code}` }
  }
}
