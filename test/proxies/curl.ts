import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface Curl {
  /** Resolves with everything received so far, as soon as it matches; rejects when curl ends before. */
  received(pattern: RegExp): Promise<string>
  /** How curl ended: 0 for a complete answer, 18 for one that broke off. */
  ended: Promise<{ code: number | null; text: string; complaint: string }>
}

/** Runs curl, the client whose exit code tells a whole answer from one that broke off. */
export function curl(
  url: string,
  { headers = {}, body }: { headers?: Record<string, string>; body?: string } = {},
): Curl {
  const lines = Object.entries(headers).flatMap((pair) => ['-H', pair.join(': ')])
  const data = body === undefined ? [] : ['--data-binary', '@-']
  const child = spawn('curl', ['-sS', '-N', ...lines, ...data, url], { stdio: ['pipe', 'pipe', 'pipe'] })
  // A refusal may come before the whole body has been taken.
  child.stdin.on('error', () => {})
  child.stdin.end(body)
  let text = ''
  let complaint = ''
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    complaint += piece
  })
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, text, complaint }))
  return {
    ended,
    received(pattern) {
      return new Promise((resolve, reject) => {
        const look = () => {
          if (pattern.test(text)) resolve(text)
        }
        child.stdout.on('data', look)
        look()
        ended.then(({ code, complaint: why }) => {
          look()
          reject(new Error(`curl ended with ${code} before ${pattern}: ${why}\n${text}`))
        })
      })
    },
  }
}
