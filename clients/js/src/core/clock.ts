/** Milliseconds that only rise: what the wall clock says does no harm. */
export const now = (): number => performance.now();

const pauseMin = 1_000;
const pauseMax = 30_000;

/** The pause before the nth attempt: what doubles with each from a second to half a
 * minute, times a random number, so that many do not come back at once. */
export function backoff(attempt: number): number {
  return Math.min(pauseMin * 2 ** attempt, pauseMax) * (0.5 + Math.random() / 2);
}
