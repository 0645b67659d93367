/** Takes the results of a scenario. */
export interface Report {
  /** A figure or an explanation. */
  note(line: string): void
  result(claim: string, holds: boolean): void
}
