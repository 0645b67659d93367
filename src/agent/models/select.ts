import type { LanguageModelV4 } from '@ai-sdk/provider'
import { createOfflineModel } from '../offline/model.ts'
import type { AgentSettings } from '../settings.ts'
import { type ChainOptions, createChain } from './chain.ts'
import { loadModel } from './providers.ts'

/** The models of the settings as one; without any, the offline model, which needs no network. */
export async function selectModel(
  settings: AgentSettings,
  { onAsk, onFailure }: Pick<ChainOptions, 'onAsk' | 'onFailure'>,
): Promise<LanguageModelV4> {
  const models =
    settings.models.length === 0
      ? [createOfflineModel(settings.offline)]
      : await Promise.all(settings.models.map(loadModel))
  return createChain(models, { firstWordMs: settings.timeouts.firstChunkMs, onAsk, onFailure })
}
