type Write = (...args: never[]) => Promise<unknown>

/** The functions of the stores that write events of the feed, or deliveries. */
const WRITES = {
  turns: ['record', 'adopt', 'remove'],
  ends: ['markRunning', 'finalize'],
  conversations: ['create', 'patch', 'remove', 'fork'],
  deliveryList: ['redeliver'],
} as const

type Writing = { [Store in keyof typeof WRITES]: { [Name in (typeof WRITES)[Store][number]]: Write } }

/** The same stores. Their functions that write events call `tell` when they have written them. */
export function tellingStores<Stores extends Writing>(stores: Stores, tell: () => void): Stores {
  const telling = Object.entries(WRITES).map(([name, writes]) => {
    const store: Record<string, unknown> = { ...stores[name as keyof Writing] }
    for (const write of writes) {
      const work = store[write] as Write
      store[write] = async (...args: never[]) => {
        const result = await work(...args)
        tell()
        return result
      }
    }
    return [name, store]
  })
  return { ...stores, ...Object.fromEntries(telling) }
}
