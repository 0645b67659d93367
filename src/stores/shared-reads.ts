interface Wanted<Key, Row> {
  key: Key
  resolve(row: Row | undefined): void
  reject(error: unknown): void
}

/** Statements that may be under way before further reads wait for the next statement. */
const AT_ONCE = 2
/** Rows of one statement, so that no read waits behind very many large rows. */
const ROWS = 32
/** The longest wait of a read for the statements under way, because the network may have lost their answers. */
const PATIENCE_MS = 25

/**
 * Reads single rows with few statements. Reads that are asked for while two statements are under way share the next
 * statement. Other reads are sent at once, so an idle instance answers without delay. A statement begins after all its
 * reads were asked for, so each read sees every earlier write.
 *
 * @param read reads the rows of these keys in one statement, in the order of the keys; undefined where there is no row
 * @returns reads the row of one key. It rejects with the error of its statement
 */
export function sharedReads<Key, Row>(read: (keys: Key[]) => Promise<Array<Row | undefined>>) {
  let waiting: Wanted<Key, Row>[] = []
  let underWay = 0
  let patience: NodeJS.Timeout | undefined

  function send(): void {
    clearTimeout(patience)
    patience = undefined
    const wanted = waiting
    waiting = []
    for (let from = 0; from < wanted.length; from += ROWS) void answer(wanted.slice(from, from + ROWS))
  }

  async function answer(wanted: Wanted<Key, Row>[]): Promise<void> {
    underWay++
    try {
      const rows = await read(wanted.map(({ key }) => key))
      wanted.forEach(({ resolve }, at) => {
        resolve(rows[at])
      })
    } catch (error) {
      for (const { reject } of wanted) reject(error)
    }
    underWay--
    if (waiting.length > 0 && underWay < AT_ONCE) send()
  }

  return (key: Key): Promise<Row | undefined> =>
    new Promise((resolve, reject) => {
      waiting.push({ key, resolve, reject })
      if (underWay < AT_ONCE) send()
      else patience ??= setTimeout(send, PATIENCE_MS)
    })
}
