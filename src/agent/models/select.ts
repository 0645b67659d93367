import type { LanguageModelV4 } from '@ai-sdk/provider'
import { createOfflineModel } from '../offline/model.ts'
import type { AgentSettings } from '../settings.ts'
import { type ChainOptions, createChain } from './chain.ts'
import { type MeasureOptions, measured } from './measure.ts'
import { loadModel } from './providers.ts'

export type ModelWatch = Pick<ChainOptions, 'onAsk' | 'onFailure'> & MeasureOptions

/** Joins the models of the settings into one. Without models, it is the offline model, which needs no network. */
export async function selectModel(
  settings: AgentSettings,
  { onAsk, onFailure, ...measure }: ModelWatch,
): Promise<LanguageModelV4> {
  const models =
    settings.models.length === 0
      ? [createOfflineModel(settings.offline)]
      : await Promise.all(settings.models.map(loadModel))
  const chain = createChain(models, { firstWordMs: settings.timeouts.firstChunkMs, onAsk, onFailure })
  return measured(chain, measure)
}
