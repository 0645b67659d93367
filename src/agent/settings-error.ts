/** A setting of the agent that cannot be used; the message begins with the variable's name. */
export class SettingsError extends Error {
  override name = 'SettingsError'
}
