// Sequences that a device holds: ascending, and never touching each other.

import type { Span } from "./store.js";

/** Bounds the stretches of one conversation. Past it the lowest one counts as not
 * held, and is read again when it comes into view. */
const rangesMax = 256;

/** Joins a range to those held, and returns the result. */
export function add(held: readonly Span[], from: number, to: number): Span[] {
  if (to < from) return held as Span[];
  let i = 0;
  while (i < held.length && held[i]![1] + 1 < from) i++;
  let j = i;
  for (; j < held.length && held[j]![0] <= to + 1; j++) {
    from = Math.min(from, held[j]![0]);
    to = Math.max(to, held[j]![1]);
  }
  const out = [...held.slice(0, i), [from, to] as const, ...held.slice(j)];
  return out.length > rangesMax ? out.slice(1) : out;
}

/** The range that holds a sequence. */
export function run(held: readonly Span[], seq: number): Span | undefined {
  for (let i = held.length - 1; i >= 0 && held[i]![1] >= seq; i--) if (held[i]![0] <= seq) return held[i];
  return undefined;
}

/** The highest sequence held, 0 if there is none. */
export function top(held: readonly Span[]): number {
  return held.at(-1)?.[1] ?? 0;
}

/** What is held of a range. */
export function within(held: readonly Span[], from: number, to: number): Span[] {
  const out: Span[] = [];
  for (const [f, t] of held) {
    const a = Math.max(f, from);
    const b = Math.min(t, to);
    if (a <= b) out.push([a, b]);
  }
  return out;
}

/** What is not held of a range. */
export function missing(held: readonly Span[], from: number, to: number): Span[] {
  const holes: Span[] = [];
  for (const [f, t] of within(held, from, to)) {
    if (f > from) holes.push([from, f - 1]);
    from = t + 1;
  }
  if (from <= to) holes.push([from, to]);
  return holes;
}

/** How many sequences the ranges have. */
export function size(held: readonly Span[]): number {
  return held.reduce((n, [f, t]) => n + t - f + 1, 0);
}
