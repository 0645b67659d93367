/** The field of a run's metadata that lists the runs whose messages steer it. */
export const STEERED_BY = 'steeredBy'
