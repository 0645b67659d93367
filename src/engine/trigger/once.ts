const REMEMBERED = 1_000

/**
 * Tells of each subject once, as long as it is among the last thousand: a run with a fault is read again and again.
 * @returns whether the subject is new
 */
export function once(): (subject: string) => boolean {
  const told = new Set<string>()
  return (subject) => {
    if (told.has(subject)) return false
    told.add(subject)
    const [oldest] = told
    if (told.size > REMEMBERED && oldest !== undefined) told.delete(oldest)
    return true
  }
}
