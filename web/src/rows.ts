import type { Draft, Item, Message } from "@parleychat/client";
import { dayOf } from "./format.ts";

/** Row is one line of the conversation as it is drawn. */
export type Row =
  | { type: "day"; key: string; at: number }
  | { type: "unread"; key: string }
  | { type: "system"; key: string; message: Message }
  | { type: "withheld"; key: string }
  | { type: "message"; key: string; message: Message; first: boolean; last: boolean }
  | { type: "draft"; key: string; draft: Draft; first: boolean; last: boolean }
  | { type: "waiting"; key: string; count: number };

const together = 10 * 60_000; // messages of one sender within this stand as one group
const draftsMost = 60; // drawn; what waits besides is counted

/** rowsOf lays out messages and drafts: days between them, groups of one sender. */
export function rowsOf(items: readonly Item[], drafts: readonly Draft[], unread: number | undefined): Row[] {
  const rows: Row[] = [];
  let day = -1;
  let before: { from: string; at: number } | null = null;
  let marked = false;

  const place = (from: string, at: number): boolean => {
    const first = !before || before.from !== from || at - before.at > together || dayOf(at) !== day;
    const above = rows[rows.length - 1];
    if (!first && above && (above.type === "message" || above.type === "draft")) above.last = false;
    before = { from, at };
    return first;
  };
  const dayLine = (at: number, key: string) => {
    const d = dayOf(at);
    if (d === day) return;
    day = d;
    before = null;
    rows.push({ type: "day", key: `day ${d} ${key}`, at });
  };

  for (const i of items) {
    if (i.type === "withheld") {
      rows.push({ type: "withheld", key: `withheld ${i.from}` });
      before = null;
      continue;
    }
    const at = i.at.getTime();
    dayLine(at, "");
    if (!marked && unread !== undefined && i.seq >= unread && !i.own && i.kind !== "system") {
      marked = true;
      before = null;
      rows.push({ type: "unread", key: "unread" });
    }
    if (i.kind === "system") {
      before = null;
      rows.push({ type: "system", key: `m${i.seq}`, message: i });
    } else {
      const first = place(i.own ? "own" : i.from, at);
      rows.push({ type: "message", key: `m${i.seq}`, message: i, first, last: true });
    }
  }

  const shown = drafts.slice(0, draftsMost);
  for (const d of shown) {
    const at = d.createdAt.getTime();
    dayLine(before ? Math.max(at, (before as { at: number }).at) : at, "draft");
    const first = place("own", at);
    rows.push({ type: "draft", key: `d${d.id}`, draft: d, first, last: true });
  }
  if (drafts.length > shown.length) rows.push({ type: "waiting", key: "waiting", count: drafts.length - shown.length });
  return distinct(rows);
}

/** distinct makes keys differ where a clock that went back made a day come twice. */
function distinct(rows: Row[]): Row[] {
  const seen = new Set<string>();
  for (const r of rows) {
    while (seen.has(r.key)) r.key += "'";
    seen.add(r.key);
  }
  return rows;
}
