const REMEMBERED = 1_000

/**
 * Remembers the last thousand subjects, so that a run with a fault, which is read again and again, is logged once.
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
