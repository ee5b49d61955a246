import type { Conversation } from "@parleychat/client";

export const muteTimes = { hours: "For 8 hours", week: "For a week", always: "Always" } as const;

export type MuteTime = keyof typeof muteTimes;

const forEver = new Date(Date.UTC(9999, 0, 1));

export function muteFor(time: MuteTime, now = Date.now()): Date {
  if (time === "always") return forEver;
  return new Date(now + (time === "hours" ? 8 : 7 * 24) * 3_600_000);
}

/** mutedNow is until when a conversation is muted, if it still is. */
export const mutedNow = (c: Conversation): Date | undefined =>
  c.mutedUntil && c.mutedUntil.getTime() > Date.now() ? c.mutedUntil : undefined;

export const mutedForEver = (until: Date): boolean => until.getUTCFullYear() > 3000;
