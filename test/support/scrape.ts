import type { Service } from './service.ts'

/** One sample of the exposition format: name, labels, value. */
export type Sample = { name: string; labels: Record<string, string>; value: number }

export const scrape = (service: Service): Promise<Sample[]> => scrapePort(service.app.metricsPort)

export async function scrapePort(port: number | undefined): Promise<Sample[]> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`)
  if (response.status !== 200) throw new Error(String(response.status))
  return (await response.text()).split('\n').flatMap((line) => {
    const [, name, labels = '', value] = line.match(/^(\w+)(?:\{(.*)\})? (\S+)$/) ?? []
    if (name === undefined) return []
    const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, of]) => [key, of])
    return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }]
  })
}

/** The sum of the samples with this name and these labels; undefined when there is no such sample. */
export function valueIn(
  samples: Sample[],
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const found = samples.filter(
    (sample) =>
      sample.name === name && Object.entries(labels).every(([key, of]) => sample.labels[key] === of),
  )
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0)
}
