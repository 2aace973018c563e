/**
 * Milliseconds on the system's monotonic clock, the same for every process on this machine; `performance.now()`
 * counts from each process's own start.
 */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
