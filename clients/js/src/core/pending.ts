import { isEmpty, noChanges, type Changes, type LaneRecord } from "../store.js";
import type { Conv } from "./conversation.js";
import type { Entry } from "./outbox.js";

/** What happened since the last change of the store, so that all of it costs one
 * transaction. */
export class Pending {
  readonly changes: Changes = noChanges();
  readonly conversations = new Set<Conv>();
  readonly lanes = new Set<LaneRecord>();
  readonly drafts = new Set<Entry>();
  /** Drafts that are gone, for the app to know. */
  readonly dropped: Entry[] = [];
  meta = false;
  /** Something is to be told, though nothing may be stored. */
  told = false;
  /** Ranges that a restore took: own messages in them become failed drafts. */
  readonly lost: { conversation: string; from: number; to: number }[] = [];
  /** Resolves once it is applied, and rejects if it never will be. */
  readonly done: Promise<void>;
  #resolve!: () => void;
  #reject!: (e: unknown) => void;

  constructor(readonly generation: number) {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.done.catch(() => {}); // most of the time nobody waits
  }

  get empty(): boolean {
    return isEmpty(this.changes) && !this.meta && !this.told &&
      this.conversations.size + this.lanes.size + this.drafts.size + this.dropped.length + this.lost.length === 0;
  }

  drop(d: Entry): void {
    this.drafts.delete(d);
    this.dropped.push(d);
    if (d.stored) this.changes.dropped.push(d.r.id);
  }

  /** Takes back a `drop` of a draft that is stored. */
  keep(d: Entry): void {
    this.dropped.splice(this.dropped.indexOf(d), 1);
    this.changes.dropped.splice(this.changes.dropped.indexOf(d.r.id), 1);
  }

  /** Takes the messages of a range away, also those that were not stored yet. */
  cut(conversation: string, from: number, to: number): void {
    this.changes.cut.push({ conversation, from, to });
    this.changes.messages = this.changes.messages.filter((m) => m.conversation !== conversation || m.seq < from || m.seq > to);
  }

  gone(v: Conv): void {
    this.changes.gone.push(v.r.id);
    this.changes.messages = this.changes.messages.filter((m) => m.conversation !== v.r.id);
    this.conversations.delete(v);
  }

  /** Takes over what an earlier one, which could not be applied, was to do. */
  prepend(p: Pending): void {
    const c = this.changes;
    const cut = (id: string, seq: number) => c.gone.includes(id) || c.cut.some((x) => x.conversation === id && seq >= x.from && seq <= x.to);
    c.messages.unshift(...p.changes.messages.filter((m) => !cut(m.conversation, m.seq)));
    c.dropped.unshift(...p.changes.dropped);
    c.gone.unshift(...p.changes.gone);
    c.cut.unshift(...p.changes.cut);
    for (const v of p.conversations) this.conversations.add(v);
    for (const l of p.lanes) this.lanes.add(l);
    for (const d of p.drafts) this.drafts.add(d);
    this.dropped.unshift(...p.dropped);
    this.meta ||= p.meta;
    this.told ||= p.told;
    this.done.then(() => p.settle(), (e: unknown) => p.settle(e));
  }

  settle(failed?: unknown): void {
    if (failed === undefined) this.#resolve();
    else this.#reject(failed);
  }
}
