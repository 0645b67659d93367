import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Teardown } from './service.ts'

export interface ReceivedSpan {
  service: string
  /** Attributes of the process that made the span. */
  resource: Record<string, unknown>
  name: string
  traceId: string
  spanId: string
  parentSpanId: string | undefined
  attributes: Record<string, unknown>
  isError: boolean
}

type Value = { stringValue?: string; intValue?: number | string; boolValue?: boolean; doubleValue?: number }
type Attributes = Array<{ key: string; value: Value }>
type Otlp = {
  resourceSpans: Array<{
    resource: { attributes: Attributes }
    scopeSpans: Array<{
      spans: Array<{
        name: string
        traceId: string
        spanId: string
        parentSpanId?: string
        attributes: Attributes
        status?: { code?: number }
      }>
    }>
  }>
}

/** A collector of traces that accepts OTLP as JSON, and keeps the spans with the headers of their requests. */
export async function startCollector(t: Teardown) {
  const spans: ReceivedSpan[] = []
  const bodies: string[] = []
  const requests: Array<{ url: string | undefined; headers: NodeJS.Dict<string | string[]> }> = []
  const server = createServer(async (request, response) => {
    requests.push({ url: request.url, headers: request.headers })
    let body = ''
    for await (const piece of request.setEncoding('utf8')) body += piece
    bodies.push(body)
    spans.push(...read(JSON.parse(body)))
    response.setHeader('content-type', 'application/json').end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    text: () => bodies.join('\n'),
    /** Resolves with the first span that `fits`, as soon as the collector has it. */
    async span(fits: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan> {
      for (;;) {
        const found = spans.find(fits)
        if (found) return found
        await sleep(20)
      }
    },
  }
}

const read = ({ resourceSpans }: Otlp): ReceivedSpan[] =>
  resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) =>
      scope.spans.map(({ name, traceId, spanId, parentSpanId, attributes, status }) => ({
        service: String(plain(resource.attributes)['service.name']),
        resource: plain(resource.attributes),
        name,
        traceId,
        spanId,
        parentSpanId: parentSpanId || undefined,
        attributes: plain(attributes),
        isError: status?.code === 2,
      })),
    ),
  )

const plain = (attributes: Attributes): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
