import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path/posix'
import { test } from 'tap'

const LEFT_OUT =
  /(^|\/)(node_modules|\.git|\.data|\.tap|\.trigger|recordings)(\/|$)|^(package-lock|test\/ship\/compose-spec)\.json$/
const files = (pattern: string) =>
  globSync(pattern, { exclude: (path) => LEFT_OUT.test(path) }).filter(
    (path) => !LEFT_OUT.test(path) && statSync(path).isFile(),
  )
const documents = [...files('**/*.md'), ...files('.github/**/*.md')]
/** What refers to documents in comments and texts. */
const sources = [
  ...files('{src,plugins,routes,migrations,test,bench,ops}/**/*.{ts,mjs,sql,yml,yaml,json}'),
  ...files('{*.{ts,yml,yaml,json},Dockerfile,.ci/*,.vscode/*}'),
].filter((path) => path !== 'test/ship/links.test.ts')

/** The text without code: what looks like a link or a heading there is none. */
const prose = (text: string) => text.replace(/^(```|~~~)[\s\S]*?^\1/gm, '').replace(/`[^`\n]*`/g, '')
const withoutBlocks = (text: string) => text.replace(/^(```|~~~)[\s\S]*?^\1/gm, '')

const headingsOf = (document: string): string[] =>
  Array.from(withoutBlocks(document).matchAll(/^#{1,6} +(.+?) *#*$/gm), ([, title = '']) =>
    title.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, ''),
  )

/** The anchors that GitHub, and what follows it, gives to the headings of a document. */
function anchorsOf(document: string): Set<string> {
  const anchors = new Set<string>()
  for (const title of headingsOf(document)) {
    const anchor = title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-')
    let [name, more] = [anchor, 0]
    while (anchors.has(name)) name = `${anchor}-${++more}`
    anchors.add(name)
  }
  return anchors
}

/** Why a target leads nowhere; undefined when it leads somewhere. */
function fault(target: string, from: string, read: (path: string) => string | undefined): string | undefined {
  const [path = '', anchor] = target.split('#')
  const place = path === '' ? from : normalize(join(dirname(from), decodeURIComponent(path)))
  const document = read(place)
  if (document === undefined) return `${from}: ${target} does not exist`
  if (anchor === undefined) return undefined
  if (!place.endsWith('.md')) return `${from}: ${target} is an anchor in something that has no headings`
  return anchorsOf(document).has(anchor) ? undefined : `${from}: ${target} has no such heading`
}

/** The links of a document whose target is a file of the repository. */
function linksOf(document: string): string[] {
  const inline = prose(document).matchAll(/\]\(<?([^)\s>]+)>?(?: +"[^"]*")?\)/g)
  const defined = prose(document).matchAll(/^\[[^\]]+\]: +(\S+)/gm)
  return [...inline, ...defined]
    .map(([, target = '']) => target)
    .filter((target) => !/^([a-z][a-z\d+.-]*:|\/\/)/i.test(target))
}

/** Documents that a source names by their path in the repository: `docs/x.md`, `docs/x.md#y`, `docs/x.md, "Y"`. */
function mentionsIn(source: string): Array<{ target: string; title?: string }> {
  const pattern =
    /(?<![\w./-])((?:docs|src|test|ops)\/[\w./-]+\.md(?:#[\w-]+)?|[A-Z]+\.md(?:#[\w-]+)?)(?:, "([^"\n]+)")?/g
  return Array.from(source.matchAll(pattern), ([, target = '', title]) => ({
    target,
    ...(title === undefined ? {} : { title }),
  }))
}

function read(path: string): string | undefined {
  if (!existsSync(path)) return undefined
  return statSync(path).isFile() ? readFileSync(path, 'utf8') : ''
}

test('every link in a document leads to a file of the repository, and to a heading that it has', (t) => {
  t.ok(documents.length > 15, 'the documents were found')
  const links = documents.flatMap((from) => linksOf(read(from) ?? '').map((target) => ({ from, target })))
  t.ok(links.length > 150, 'their links were found')
  const faults = links.flatMap(({ from, target }) => fault(target, from, read) ?? [])
  t.strictSame(faults, [])
  t.end()
})

test('every document and heading that a source names exists', (t) => {
  const faults = sources.flatMap((from) =>
    mentionsIn(read(from) ?? '').flatMap(({ target, title }) => {
      // A name without a folder is that of a file beside the source, or of one in the root.
      const isNear = !target.includes('/') && existsSync(join(dirname(from), target.split('#')[0] ?? ''))
      const broken = fault(target, isNear ? from : 'README.md', read)
      if (broken !== undefined) return [`${from} names ${target}, which does not exist`]
      const isHeading = title === undefined || headingsOf(read(target) ?? '').includes(title)
      return isHeading ? [] : [`${from} names "${title}" of ${target}, which has no such heading`]
    }),
  )
  t.strictSame(faults, [])
  t.end()
})

test('no source or document refers to a contract by the number of a paragraph', (t) => {
  const faults = [...sources, ...documents].filter((path) =>
    /\bcontract,? (§|paragraph)/i.test(read(path) ?? ''),
  )
  t.strictSame(faults, [])
  t.end()
})

test('dead links, dead anchors and dead names are found', (t) => {
  const tree: Record<string, string> = {
    'docs/a.md':
      '# A `title`, and more\n## Twice\n## Twice\n```sh\n# no heading\n```\n[b](b.md#twice-1) `[no](link.md)`\n',
    'docs/b.md': '# B\n## Twice\n## Twice\n',
  }
  const look = (path: string) => tree[path]
  t.strictSame(linksOf(tree['docs/a.md'] ?? ''), ['b.md#twice-1'])
  t.strictSame([...anchorsOf(tree['docs/a.md'] ?? '')], ['a-title-and-more', 'twice', 'twice-1'])
  t.equal(fault('b.md#twice-1', 'docs/a.md', look), undefined)
  t.equal(fault('#twice-1', 'docs/a.md', look), undefined)
  t.match(fault('#no-heading', 'docs/a.md', look), 'no such heading')
  t.match(fault('b.md#twice-2', 'docs/a.md', look), 'no such heading')
  t.match(fault('../b.md', 'docs/a.md', look), 'does not exist')
  t.strictSame(mentionsIn('// see docs/a.md#twice, and docs/b.md, "Twice"; ./c.md is none'), [
    { target: 'docs/a.md#twice' },
    { target: 'docs/b.md', title: 'Twice' },
  ])
  t.end()
})
