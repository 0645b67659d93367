// A server that speaks the part of Trigger.dev's API which a start needs, and answers at once.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serveParent } from './child.ts'

let runs = 0
const server = createServer((request, response) => {
  request.resume()
  const url = request.url ?? ''
  if (url.includes('/realtime')) return // A subscription without events.
  response.setHeader('content-type', 'application/json')
  request.on('end', () => {
    if (url.includes('/trigger')) response.end(`{"id":"run_bench${++runs}","isCached":false}`)
    else if (/runs\/run_/.test(url)) response.writeHead(404).end('{"error":"Run not found"}')
    else response.end('{"data":[],"pagination":{}}')
  })
}).listen(0, '127.0.0.1', () => serveParent(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
