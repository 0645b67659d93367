/** An error that ends the process and whose message explains it completely, so that no stack is logged. */
export class StartError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StartError'
  }
}

/** A StartError that says what to do when a port cannot be listened on. Any other error is returned unchanged. */
export function explainListen(
  error: unknown,
  { host, port }: { host: string; port: number },
  setting: string,
) {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const why = {
    EADDRINUSE: `is taken by another process`,
    EACCES: 'needs rights that this process does not have',
    EADDRNOTAVAIL: 'is not an address of this machine',
    ENOTFOUND: 'is not an address of this machine',
  }[code]
  if (why === undefined) return error
  return new StartError(`Cannot listen: port ${port} on ${host} ${why}. Set ${setting} to another one.`, {
    cause: error,
  })
}
