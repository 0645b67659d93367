import { task } from '@trigger.dev/sdk'

/** Fails where the task of the same name in basic.ts returns a large output. */
export const bulky = task({
  id: 'bulky',
  run: async () => {
    throw new Error('broken')
  },
})
