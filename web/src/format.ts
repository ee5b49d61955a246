// Times and names, as people read them.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const dayAndMonth = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long" });
const fullDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat(undefined, { day: "2-digit", month: "2-digit", year: "2-digit" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** dayOf numbers the days of the local calendar, so that two times can be compared by day. */
export function dayOf(ms: number): number {
  const d = new Date(ms);
  return Math.floor(Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) / 86_400_000);
}

export const clockTime = (ms: number): string => clock.format(ms);
export const exactTime = (ms: number): string => exact.format(ms);

/** dayTitle is what stands between the messages of two days. */
export function dayTitle(ms: number, now = Date.now()): string {
  const ago = dayOf(now) - dayOf(ms);
  if (ago === 0) return "Today";
  if (ago === 1) return "Yesterday";
  if (ago > 1 && ago < 7) return weekday.format(ms);
  return new Date(ms).getFullYear() === new Date(now).getFullYear() ? dayAndMonth.format(ms) : fullDay.format(ms);
}

/** listTime is the time at the right of a conversation in the list. */
export function listTime(ms: number, now = Date.now()): string {
  if (!ms) return "";
  const ago = dayOf(now) - dayOf(ms);
  if (ago <= 0) return clock.format(ms);
  if (ago === 1) return "Yesterday";
  if (ago < 7) return weekday.format(ms);
  return short.format(ms);
}

/** seenTime says when somebody was last here. */
export function seenTime(ms: number, now = Date.now()): string {
  const minutes = Math.floor((now - ms) / 60_000);
  if (minutes < 1) return "last seen just now";
  if (minutes < 60) return `last seen ${minutes} min ago`;
  const ago = dayOf(now) - dayOf(ms);
  if (ago <= 0) return `last seen today at ${clock.format(ms)}`;
  if (ago === 1) return `last seen yesterday at ${clock.format(ms)}`;
  return `last seen ${short.format(ms)}`;
}

/** initials are up to two letters that stand for a name, whole characters each. */
export function initials(name: string): string {
  const all = name.trim().split(/[\s_.-]+/u).filter(Boolean);
  const readable = all.filter((w) => /^[\p{L}\p{N}]/u.test(w));
  const words = readable.length > 0 ? readable : all;
  const picked = words.length > 1 ? [words[0]!, words[words.length - 1]!] : words.slice(0, 1);
  return picked.map((w) => graphemes(w)[0] ?? "").join("").toLocaleUpperCase();
}

const segmenter = typeof Intl.Segmenter === "function" ? new Intl.Segmenter() : null;

/** graphemes are the characters of a short text as its reader counts them. */
export function graphemes(text: string): string[] {
  const head = text.slice(0, 64);
  return segmenter ? Array.from(segmenter.segment(head), (s) => s.segment) : Array.from(head);
}

/** hueOf is a stable number 0..7 for a name: which of the eight colours is its own. */
export function hueOf(name: string): number {
  let h = 2166136261;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 16777619);
  return (h ^ (h >>> 13)) >>> 0 & 7;
}

/** listed joins names as a sentence does: "ann, bob and cem". */
export function listed(names: string[]): string {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

const onlyEmoji = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\u200d|\ufe0f|\s)+$/u;

/** fewEmoji says how many emoji a text is made of, if of 1 to 3 and of nothing else; else 0. */
export function fewEmoji(text: string): number {
  if (text.length > 40 || !/\p{Extended_Pictographic}|\p{Regional_Indicator}/u.test(text) || !onlyEmoji.test(text)) return 0;
  const n = graphemes(text).filter((g) => g.trim()).length;
  return n <= 3 ? n : 0;
}

const encoder = new TextEncoder();

/** bytesOf is how long a text is in UTF-8, as the server counts. */
export const bytesOf = (text: string): number => encoder.encode(text).length;
