import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Settings } from '../config/settings.ts'

const FILE = join(import.meta.dirname, '..', '..', 'docs', 'operations.md')
const BEGIN = '<!-- settings: written by node src/bin/settings-table.ts -->'
const END = '<!-- end of settings -->'

interface Setting {
  description?: string
  default?: unknown
  minimum?: number
  maximum?: number
  anyOf?: Array<{ const: string }>
}

/** The settings as a Markdown table: name, default, meaning with its limits. */
export function settingsTable(): string {
  const rows = Object.entries(Settings.properties as Record<string, Setting>).map(
    ([name, setting]) => `| \`${name}\` | ${fallback(setting)} | ${meaning(setting)} |`,
  )
  return ['| variable | default | meaning |', '|---|---|---|', ...rows].join('\n')
}

/** A text with the table between its marks. */
export function withTable(text: string): string {
  const [before, rest] = text.split(BEGIN)
  const [, after] = rest?.split(END) ?? []
  if (before === undefined || after === undefined)
    throw new Error(`no marks for the table: ${BEGIN} … ${END}`)
  return `${before}${BEGIN}\n\n${settingsTable()}\n\n${END}${after}`
}

const fallback = ({ default: value }: Setting): string => (value === undefined ? '–' : `\`${value}\``)

function meaning({ description = '', minimum, maximum, anyOf }: Setting): string {
  const limits = maximum === undefined ? '' : ` (${minimum} to ${maximum})`
  const choices = anyOf === undefined ? '' : `: ${anyOf.map((choice) => choice.const).join(', ')}`
  return `${description.replaceAll('|', '\\|')}${limits}${choices}`
}

if (import.meta.main) await writeFile(FILE, withTable(await readFile(FILE, 'utf8')))
