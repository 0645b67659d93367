import { parseArgs } from 'node:util'
import { SignJWT } from 'jose'
import { type Config, loadConfig } from '../config/config.ts'
import { localSigningSecret } from '../local/secret.ts'

const usage = `Prints a token for trying the service out.

  npm run -s token -- --sub <user> [--scope "agent:read agent:write"] [--ttl 1h]

  --sub    who the token is for: 1 to 255 printable characters
  --scope  what it allows, separated by spaces
  --ttl    how long it is good for: a number and s, m, h or d`

type Claims = { sub: string; scope: string; ttl: string }

/** @returns the exit code: 0 printed, 1 refused, 2 called wrongly */
async function main(): Promise<number> {
  const claims = readArguments(process.argv.slice(2))
  if (typeof claims === 'string') return complain(`${claims}\n\n${usage}`, 2)
  if (process.env.NODE_ENV?.trim() === 'production') {
    return complain('Tokens for production come from your identity provider; NODE_ENV is production here.', 1)
  }
  try {
    console.log(await sign(claims, loadConfig(process.env)))
    return 0
  } catch (error) {
    return complain(error instanceof Error ? error.message : String(error), 1)
  }
}

function readArguments(args: string[]): Claims | string {
  try {
    const { values } = parseArgs({
      args,
      options: {
        sub: { type: 'string' },
        scope: { type: 'string', default: 'agent:read agent:write' },
        ttl: { type: 'string', default: '1h' },
      },
    })
    const { sub, scope, ttl } = values
    if (sub === undefined) return '--sub is missing.'
    if (!/^[^\p{C}\p{Zl}\p{Zp}]{1,255}$/u.test(sub)) return '--sub must be 1 to 255 printable characters.'
    if (!/^[1-9]\d{0,8}[smhd]$/.test(ttl)) return '--ttl must be a number and s, m, h or d, like 90s or 1h.'
    return { sub, scope, ttl }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function sign({ sub, scope, ttl }: Claims, { auth, localDataDir }: Config): Promise<string> {
  if (auth.keys?.kind === 'jwks') {
    throw new Error('AUTH_JWKS_URL is set: the service takes tokens only from the holder of those keys.')
  }
  // The first secret is the newest. The others are being phased out.
  const secret = auth.keys?.secrets[0] ?? (await localSigningSecret(localDataDir))
  const token = new SignJWT({ scope })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(sub)
    .setIssuedAt()
    .setExpirationTime(ttl)
  if (auth.issuer !== undefined) token.setIssuer(auth.issuer)
  if (auth.audience !== undefined) token.setAudience(auth.audience)
  return token.sign(new TextEncoder().encode(secret))
}

function complain(message: string, code: number): number {
  console.error(message)
  return code
}

process.exitCode = await main()
