/**
 * Returns a function that does the work at once, and then at most once in `ms`. All calls within that time together do the
 * work once, at the end of it.
 */
export function paced(ms: number, work: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  let isWanted = false
  function go(): void {
    isWanted = false
    timer = setTimeout(() => {
      timer = undefined
      if (isWanted) go()
    }, ms).unref()
    work()
  }
  return () => {
    isWanted = true
    if (timer === undefined) go()
  }
}
