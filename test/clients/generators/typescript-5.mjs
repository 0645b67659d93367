// The generators write code with the programming interface of TypeScript 5, which TypeScript 7 does not have. This
// module lets them find the version of the client's package wherever they are installed.
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const parentURL = pathToFileURL(join(process.env.CLIENT_PACKAGE, 'package.json')).href

registerHooks({
  resolve: (specifier, context, next) =>
    next(specifier, specifier === 'typescript' ? { ...context, parentURL } : context),
})
