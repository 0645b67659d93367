import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Asset {
  type: string
  body: Buffer
}

const FOLDER = join(import.meta.dirname, 'page')
const TYPES: Record<string, string> = {
  '.mjs': 'text/javascript; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
}

/** What the scripts of the page import by a name, and the name under which the page finds it. */
const MODULES = {
  preact: 'preact.mjs',
  'preact/hooks': 'hooks.mjs',
  htm: 'htm.mjs',
  'htm/preact': 'htm-preact.mjs',
  // This module imports its neighbour by the name `./index.js`.
  'eventsource-parser/stream': 'eventsource-parser/stream.js',
  'eventsource-parser': 'eventsource-parser/index.js',
}

export interface Playground {
  page: Asset
  /** The Content-Security-Policy of the page: scripts and calls of this service alone, and no HTML made of text. */
  policy: string
  /** Scripts and styles by their address below that of the page. */
  files: Map<string, Asset>
}

/** Reads the page, its scripts and the packages that they import. All addresses in it are relative to the page's. */
export function readPlayground(): Playground {
  const files = new Map<string, Asset>()
  for (const path of globSync('**/*.{mjs,css}', { cwd: FOLDER })) files.set(path, asset(join(FOLDER, path)))
  for (const [specifier, name] of Object.entries(MODULES))
    files.set(`modules/${name}`, asset(fileURLToPath(import.meta.resolve(specifier))))
  const imports = Object.entries(MODULES).map(([specifier, name]) => [
    specifier,
    `./playground/modules/${name}`,
  ])
  const importMap = JSON.stringify({ imports: Object.fromEntries(imports) })
  const html = readFileSync(join(FOLDER, 'page.html'), 'utf8').replace(
    '<script type="importmap">{}',
    () => `<script type="importmap">${importMap}`,
  )
  return {
    page: { type: 'text/html; charset=utf-8', body: Buffer.from(html) },
    policy: policyFor(importMap),
    files,
  }
}

const asset = (path: string): Asset => ({ type: TYPES[extname(path)] ?? '', body: readFileSync(path) })

const policyFor = (script: string) =>
  [
    "default-src 'none'",
    `script-src 'self' 'sha256-${createHash('sha256').update(script).digest('base64')}'`,
    "style-src 'self'",
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
