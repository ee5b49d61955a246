import { useEffect, useState } from "preact/hooks";
import type { Failure } from "@parleychat/client";

const says: Record<string, string> = {
  network: "There is no connection at the moment.",
  interrupted: "The connection broke before the answer. Look whether it was done.",
  overloaded: "The server is busy. Try again in a moment.",
  stopping: "The server restarts. Try again in a moment.",
  unavailable: "The server can not do that at the moment.",
  disk_full: "The server has no room left.",
  not_member: "You do not belong to this conversation.",
  not_allowed: "Your role does not allow that.",
  too_large: "That is too long.",
  bad_request: "The server does not take that.",
  already_exists: "That is there already.",
  group_full: "The group is full.",
  unknown_user: "Nobody of that name has been here yet.",
  outbox_full: "Too much waits to be sent already. Wait for the connection.",
  store_full: "This browser has no room left.",
};

/** explain says to the user why something failed. */
export const explain = (e: Failure): string => says[e.code] ?? `That did not work (${e.code ?? e.message}).`;

type Toast = { id: number; text: string };
let toasts: Toast[] = [];
let ids = 0;
const drawn = new Set<() => void>();

export function toast(text: string): void {
  const t = { id: ++ids, text };
  const set = (list: Toast[]) => { toasts = list; drawn.forEach((d) => d()); };
  set([...toasts.slice(-2), t]);
  setTimeout(() => set(toasts.filter((other) => other !== t)), 5000);
}

/** attempt says so when something that the user asked for failed. */
export function attempt(work: Promise<unknown>): Promise<boolean> {
  return work.then(() => true, (e: Failure) => { toast(explain(e)); return false; });
}

export function Toasts() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const d = () => redraw((n) => n + 1);
    drawn.add(d);
    return () => { drawn.delete(d); };
  }, []);
  return <div class="toasts" role="status" aria-live="polite">{toasts.map((t) => <div class="toast" key={t.id}>{t.text}</div>)}</div>;
}
