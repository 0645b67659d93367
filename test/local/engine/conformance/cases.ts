import { endCases } from './end-cases.ts'
import { queueCases } from './queue-cases.ts'
import { readCases } from './read-cases.ts'
import type { Case } from './suite.ts'
import { triggerCases } from './trigger-cases.ts'

export const cases: Case[] = [...triggerCases, ...endCases, ...queueCases, ...readCases]
