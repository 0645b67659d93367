import type { IncomingMessage } from 'node:http'

/** Every value that was sent for a header; Node itself joins some repeated headers and drops others. */
export function headerValues({ rawHeaders }: IncomingMessage, name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name)
}
