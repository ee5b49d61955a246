import type { Message } from "../api.js";
import * as ranges from "../ranges.js";
import type { ConversationRecord, MemberRecord, MessageRecord } from "../store.js";
import type { ConversationData } from "../views.js";
import * as wire from "../wire/schema.js";

/** What one message adds to the counts. */
export interface Tally {
  /** 0 if unknown. */
  readonly ordinal: number;
  readonly counts: boolean;
  readonly own: boolean;
}

/** Bounds the messages that wait to be counted. Past it the counts are asked for. */
const afterMax = 4096;

/** Bounds the messages kept in memory for the next event of a conversation. */
const untoldMax = 256;

/** A conversation of the client: what is stored of it, and what is not. */
export class Conv {
  /** Messages held above `counted` that are not folded into the counts yet, because
   * one before them is missing. */
  #after = new Map<number, Tally>();

  /** Messages for the next event, as far as they are in memory. */
  readonly untold = new Map<number, MessageRecord>();
  /** Of drafts that were sent, those that no event has told yet. */
  readonly untoldDrafts = new Map<string, number>();

  /** The end of what was told, of what may be told, and of the durable prefix. */
  told: number;
  tellable: number;
  durable: number;
  /** The newest message of somebody else, as far as known. */
  foreign: number;

  sentDelivered = 0;
  sentRead = 0;
  pulling = false;
  membersStale = false;
  previewDue = false;
  stateDue = false;
  /** How many calls read it just now. */
  reading = 0;
  /** No pull before, by the monotonic clock. */
  pullAt = 0;
  /** When it was looked at last, by a counter. */
  touched = 0;
  /** What the app was shown last, and parts of it that are used again while they
   * have not changed. */
  shown: ConversationData | undefined;
  memberViews: Pick<ConversationData, "peer" | "members"> | undefined;
  previewView: Message | undefined;

  constructor(public r: ConversationRecord) {
    this.told = this.tellable = r.tail;
    this.foreign = r.last;
    this.durable = this.prefix();
  }

  /** Begins anew, as a restore wants it. What was told stays told, up to the tail. */
  reset(r: ConversationRecord): void {
    this.r = r;
    this.#after.clear();
    this.untold.clear();
    this.told = Math.min(this.told, r.tail);
    this.tellable = Math.min(this.tellable, r.tail);
    this.durable = this.prefix();
    this.foreign = r.last;
    this.sentDelivered = this.sentRead = 0;
    this.membersStale = this.stateDue = false;
    this.memberViews = this.previewView = undefined;
  }

  /** Whether a state of the server was heard. Before, the device does not know what
   * of the conversation is new to its user. */
  get stated(): boolean {
    return this.r.version > 0;
  }

  holds(seq: number): boolean {
    return ranges.run(this.r.held, seq) !== undefined;
  }

  hold(from: number, to: number): void {
    this.r.held = ranges.add(this.r.held, from, to);
    if (to >= from) this.r.last = Math.max(this.r.last, to);
  }

  /** Moves the tail over what is held. */
  advance(): void {
    const run = ranges.run(this.r.held, this.r.tail + 1);
    if (run) this.r.tail = run[1];
  }

  /** The end of what is held without a gap from the watermark that the server knows:
   * what may be acknowledged as delivered. */
  prefix(): number {
    return ranges.run(this.r.held, this.r.confirmedDelivered + 1)?.[1] ?? this.r.confirmedDelivered;
  }

  /** Keeps a message for the list, and for the next event. */
  remember(m: MessageRecord): void {
    if (this.r.preview === undefined || m.seq >= this.r.preview.seq) this.r.preview = m;
    if (m.seq <= this.told) return;
    if (this.untold.size >= untoldMax) this.untold.clear(); // the store has them
    this.untold.set(m.seq, m);
  }

  /** Takes a message into the counts, once: those up to `counted` are in. */
  count(seq: number, t: Tally): void {
    if (seq > this.r.counted && this.#after.size < afterMax) this.#after.set(seq, t);
  }

  /** Counts the messages that follow `counted`. It returns false when one is held
   * that it knows nothing of: then the counts must be asked for. */
  fold(): boolean {
    const r = this.r;
    for (;;) {
      const t = this.#after.get(r.counted + 1);
      if (!t) return !this.holds(r.counted + 1);
      this.#after.delete(++r.counted);
      if (t.counts) r.ordinal++;
      if (t.ordinal > 0) r.ordinal = t.ordinal;
      if (t.own && t.counts) r.own++;
    }
  }

  /**
   * Takes over a state of the server: each part of it by what orders that part, so
   * that states, messages and marks may come in any order. The counts at a sequence
   * and the marks never change, so the higher ones are the newer ones; the rest is
   * ordered by the version.
   */
  adopt(w: wire.State): void {
    const r = this.r;
    if (w.left) {
      if (w.version === 0 || w.version >= r.version) {
        r.left = true;
        r.role = wire.ROLE_NONE;
        r.version = Math.max(r.version, w.version);
        r.changed = Math.max(r.changed, w.changed);
      }
      return;
    }
    if (w.last >= r.counted && w.version >= r.version) {
      [r.counted, r.ordinal, r.own] = [w.last, w.ordinal, w.own];
      for (const seq of this.#after.keys()) if (seq <= w.last) this.#after.delete(seq);
    }
    r.last = Math.max(r.last, w.last);
    if (w.read >= r.read) [r.read, r.readOrdinal, r.ownAtRead] = [w.read, w.readOrdinal, w.ownAtRead];
    r.delivered = Math.max(r.delivered, w.delivered);
    // Large groups keep no delivered mark; what was read was delivered.
    r.confirmedDelivered = Math.max(r.confirmedDelivered, w.delivered, w.read);
    r.confirmedRead = Math.max(r.confirmedRead, w.read);
    if (w.peer) this.raise(memberOf(w.peer));
    if (w.version < r.version) return;
    r.version = w.version;
    r.left = false;
    r.kind = w.kind;
    r.title = w.title;
    r.role = w.role;
    r.markedUnread = w.markedUnread;
    r.mutedUntil = w.mutedUntil;
    r.changed = Math.max(r.changed, w.changed);
  }

  member(user: string): MemberRecord | undefined {
    return this.r.members.find((m) => m.user === user);
  }

  /** Takes over what is heard of a member. Marks only rise. */
  raise(m: MemberRecord): void {
    this.memberViews = undefined;
    const o = this.member(m.user);
    if (o === undefined) {
      this.r.members.push(m);
      return;
    }
    [o.role, o.name, o.picture] = [m.role, m.name, m.picture];
    o.delivered = Math.max(o.delivered, m.delivered);
    o.read = Math.max(o.read, m.read);
  }

  /** Raises the ticks to what all others have. They never fall: somebody who joins
   * later does not take back what was shown. */
  tick(): void {
    const r = this.r;
    if (r.kind === wire.CONVERSATION_GROUP && !r.membersKnown) return;
    let [delivered, read, others] = [r.last, r.last, false];
    for (const m of r.members) {
      if (m.role === wire.ROLE_NONE) continue;
      others = true;
      // Large groups keep no delivered mark; who has read has it.
      delivered = Math.min(delivered, Math.max(m.delivered, m.read));
      read = Math.min(read, m.read);
    }
    if (!others) return;
    r.tickDelivered = Math.max(r.tickDelivered, delivered);
    r.tickRead = Math.max(r.tickRead, read);
  }

  /** What the store keeps: a copy that shares nothing which changes. */
  snapshot(): ConversationRecord {
    return { ...this.r, members: this.r.members.map((m) => ({ ...m })) };
  }
}

/** A conversation of which nothing is known. */
export function blankRecord(id: string, incarnation: bigint): ConversationRecord {
  return {
    id, kind: 0, title: "", changed: 0, role: 0, markedUnread: false, mutedUntil: 0, left: false,
    last: 0, held: [], tail: 0,
    delivered: 0, read: 0, confirmedDelivered: 0, confirmedRead: 0,
    members: [], membersKnown: false, tickDelivered: 0, tickRead: 0,
    ordinal: 0, readOrdinal: 0, own: 0, ownAtRead: 0, counted: 0,
    version: 0, incarnation, doubt: [],
  };
}

export function memberOf(w: wire.Member): MemberRecord {
  return { user: w.user, name: w.name, picture: w.picture, role: w.role, delivered: w.delivered, read: w.read };
}

export function messageOf(conversation: string, w: wire.Message): MessageRecord {
  return {
    conversation, seq: w.seq, from: w.from, at: w.at, kind: w.kind, stream: w.stream, number: w.number,
    ...(w.kind === wire.KIND_TEXT ? { text: w.text } : w.data.length > 0 ? { data: w.data } : {}),
    ...(!w.event ? {} : { event: w.event }),
  };
}
