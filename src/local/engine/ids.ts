import { randomInt } from 'node:crypto'

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz'
const BOOT_LENGTH = 8
const COUNTER_LENGTH = 7
/** Trigger.dev's ids have 25 characters after the underscore and begin with a c. */
const LENGTH = 25

const letters = (count: number): string =>
  Array.from({ length: count }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')

/** A random id for one start of the engine; every id of that start begins with it. */
export const newBootId = (): string => `c${letters(BOOT_LENGTH - 1)}`

/** Counts the ids of one start: boot id, counter, random rest. */
export function idMaker(bootId: string): (prefix: string) => string {
  let count = 0
  return (prefix) => {
    const counter = (count++).toString(36).padStart(COUNTER_LENGTH, '0')
    return `${prefix}_${bootId}${counter}${letters(LENGTH - BOOT_LENGTH - COUNTER_LENGTH)}`
  }
}

/** Whether an id has the form of a run id of the local engine, but was made by another start of the engine. */
export const isOfOtherBoot = (id: string, bootId: string): boolean =>
  /^run_c[0-9a-z]{24}$/.test(id) && !id.startsWith(`run_${bootId}`)
