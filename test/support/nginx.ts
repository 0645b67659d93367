import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { startProcess } from './process.ts'
import type { Teardown } from './service.ts'
import { temporaryFolder } from './temporary.ts'

/** The path of nginx; undefined when it is not installed. */
export const NGINX = [
  process.env.NGINX_PATH,
  '/usr/sbin/nginx',
  '/usr/local/bin/nginx',
  '/opt/homebrew/bin/nginx',
].find((path) => path !== undefined && existsSync(path))

/** Starts a real nginx that proxies to the service with its own defaults: HTTP/1.0 to the service, buffered answers. */
export async function startNginx(
  t: Teardown & { teardown(fn: () => Promise<void>): void },
  target: string,
): Promise<string> {
  const folder = await temporaryFolder(t)
  const port = await freePort()
  mkdirSync(`${folder}/logs`)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join('\n')
  writeFileSync(
    `${folder}/nginx.conf`,
    `daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/logs/error.log;
events {}
http {
  access_log off;
  ${temporary}
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass ${target}; }
  }
}
`,
  )
  const nginx = startProcess(t, [NGINX ?? 'nginx', '-p', folder, '-c', `${folder}/nginx.conf`])
  const url = `http://127.0.0.1:${port}`
  let isOver = false
  void nginx.ended.then(() => {
    isOver = true
  })
  while (
    !(await fetch(`${url}/livez`).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (isOver) throw new Error(nginx.output())
    await setTimeout(20)
  }
  return url
}

/** A port on which no program listens at this moment. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
