/** Milliseconds that only rise: what the wall clock says does no harm. */
export const now = (): number => performance.now();

/** The longest that a timer can wait; one of more would be over at once. */
export const waitMax = 2 ** 31 - 1;

/** Waits, or until somebody calls what is given to `wake`. */
export function pause(ms: number, wake: (over: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, Math.min(ms, waitMax));
    wake(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

const pauseMin = 1_000;
const pauseMax = 30_000;

/** The pause before the nth attempt: what doubles with each from a second to half a
 * minute, times a random number, so that many do not come back at once. */
export function backoff(attempt: number): number {
  return Math.min(pauseMin * 2 ** attempt, pauseMax) * (0.5 + Math.random() / 2);
}
