import { ParleyError } from "../errors.js";
import type { DraftRecord, LaneRecord, MessageRecord } from "../store.js";
import { isRetry, NUMBER_REUSED, RESEND_UNKNOWN, RETRY_IN_ORDER } from "../views.js";
import { fromHex, sameBytes, utf8 } from "../wire/bytes.js";
import type { Init } from "../wire/codec.js";
import * as wire from "../wire/schema.js";
import { backoff, now } from "./clock.js";
import type { Core } from "./core.js";
import type { Session } from "./session.js";

// A lane is the outbox of one conversation. Its drafts go out pipelined: several are
// on their way at once, in the order of their numbers.
//
// What the server promises is the rule that the whole file rests on: of a stream it
// takes number n+1 only after n. So when a draft is refused, those behind it that are
// already on their way are refused too, with retry_in_order, and none of them
// overtakes it. After any refusal the lane therefore sends nothing, waits until all
// that is on its way is answered, and then does what the worst answer asks for.
//
// A number may be used again only when nothing that was ever written under it can
// still arrive. Bytes of an earlier connection can, after the client has given it up:
// they may lie in a buffer of the server's. So a number that was freed by a refusal
// is used again only inside the connection in which every draft behind it was written
// for the first time, and was answered. In every other case the rest of the lane moves
// to a new stream: in the old one the freed number stays empty for ever, and so
// nothing late is taken there.

/** What a lane does once all that is on its way is answered; of two, the higher. */
enum Plan {
  none,
  /** Send all that is unanswered again, under the same numbers. */
  resend,
  /** A draft was refused for good: those behind it move up. */
  renumber,
  /** Look for each draft at the server; what is not there goes to a new stream. */
  find,
}

interface Lane {
  readonly r: LaneRecord;
  /** Queued, in the order of their numbers. */
  drafts: Entry[];
  /** Of drafts, how many have been written in this session. */
  sent: number;
  /** Unanswered sends and searches of this session. */
  inFlight: number;
  plan: Plan;
  /** The lowest number that a refusal has freed. */
  freed: number;
  /** Nothing is done before. */
  until: number;
  /** Refusals to retry in a row. */
  attempts: number;
  queued: boolean;
}

/** A draft, with what is not stored. */
export interface Entry {
  readonly r: DraftRecord;
  /** In which it is stored as it stands here; it is written only after. */
  generation: number;
  /** Under its number, and not answered since: it may be at the server. */
  written: boolean;
  /** Was written in an earlier session, whose bytes may still arrive. */
  earlier: boolean;
  /** Was stored once; one that was not can be taken back. */
  stored: boolean;
  refused?: wire.Error;
  /** Hears that it was taken back. */
  takenBack?: () => void;
  /** The failed draft whose place it takes, as long as it may be taken back. */
  instead?: Entry;
}

const draftsMax = 10_000;
const bytesMax = 64 * 1024 * 1024;
/** How many drafts that were sent are kept, so that a repeated call finds them. */
const sentMax = 1000;
/** How often retry_in_order is followed without a pause. */
const roundsAtOnce = 4;
/** How long bytes of an earlier connection may take to be handled at the server. */
const lateWait = 1000;
/** How many streams a device remembers to have used. */
const streamsMax = 64;

export class Outbox {
  readonly #lanes = new Map<string, Lane>();
  readonly drafts = new Map<string, Entry>();
  /** Drafts that were sent and are still kept, the oldest first. */
  readonly #sent: string[] = [];
  /** Drafts that are queued or failed, and their bytes. */
  #waiting = 0;
  #waitingBytes = 0;
  /** Lanes with drafts to send, in the order of their turns. */
  #busy: Lane[] = [];

  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  load(lanes: readonly LaneRecord[], drafts: readonly DraftRecord[]): void {
    for (const r of lanes) this.#lanes.set(r.conversation, newLane(r));
    for (const r of [...drafts].sort((a, b) => a.order - b.order)) {
      const d: Entry = { r, generation: 0, written: false, earlier: false, stored: true };
      this.drafts.set(r.id, d);
      if (r.status === "sent") {
        this.#sent.push(r.id);
        continue;
      }
      this.#waiting++;
      this.#waitingBytes += sizeOf(r);
      if (r.status !== "queued") continue;
      d.written = true; // whether the last tab had written it, nobody knows
      this.#lane(r.conversation).drafts.push(d);
    }
    for (const l of this.#lanes.values()) {
      if (l.r.broken) l.plan = Plan.find;
      this.#enqueue(l);
    }
    this.#busy.sort((a, b) => (a.drafts[0]?.r.order ?? 0) - (b.drafts[0]?.r.order ?? 0));
  }

  /** Has everything stored anew, in a store that was emptied. */
  storeAll(): void {
    for (const l of this.#lanes.values()) this.#store(l);
    for (const d of this.drafts.values()) this.#core.change().drafts.add(d);
  }

  #lane(conversation: string): Lane {
    let l = this.#lanes.get(conversation);
    if (!l) {
      l = newLane({ conversation, stream: this.#core.meta.stream, next: 1, broken: false });
      this.#lanes.set(conversation, l);
    }
    return l;
  }

  #store(l: Lane, ...drafts: Entry[]): void {
    const p = this.#core.change();
    p.lanes.add(l.r);
    for (const d of drafts) {
      d.generation = p.generation;
      p.drafts.add(d);
    }
  }

  /** Gives a draft the next number of its lane. A draft whose id is known is that one. */
  enter(id: string, conversation: string, kind: number, text: string | undefined, data: Uint8Array | undefined): Entry {
    this.#core.usable();
    const known = this.drafts.get(id);
    if (known) return known;
    const size = sizeOf({ text, data });
    if (this.#waiting >= draftsMax || this.#waitingBytes + size > bytesMax) throw new ParleyError("outbox_full", `${this.#waiting} drafts wait`);
    this.#fits(size);
    const l = this.#lane(conversation);
    const r: DraftRecord = {
      id, conversation, stream: l.r.stream, number: l.r.next++, order: this.#core.meta.nextOrder++, kind, text, data,
      status: "queued", seq: 0, code: 0, name: "", reason: "", createdAt: Date.now(),
    };
    this.#core.putMeta();
    const d: Entry = { r, generation: 0, written: false, earlier: false, stored: false };
    l.drafts.push(d);
    this.drafts.set(id, d);
    this.#waiting++;
    this.#waitingBytes += size;
    this.#store(l, d);
    this.#enqueue(l);
    return d;
  }

  /** Puts a failed draft into the outbox anew, behind what is there. */
  again(oldId: string, id: string): Entry {
    const known = this.drafts.get(id);
    if (known) return known;
    const old = this.#failed(oldId);
    this.#fits(sizeOf(old.r));
    this.#drop(old);
    const d = this.enter(id, old.r.conversation, old.r.kind, old.r.text, old.r.data);
    d.instead = old;
    return d;
  }

  #fits(size: number): void {
    if (this.#core.meta.bodyMax > 0 && size > this.#core.meta.bodyMax) throw new ParleyError("too_large", `a body of ${size} bytes`);
  }

  /** Forgets a failed draft; one that is not there is forgotten already. */
  discard(id: string): void {
    if (this.drafts.has(id)) this.#drop(this.#failed(id));
  }

  #failed(id: string): Entry {
    this.#core.usable();
    const d = this.drafts.get(id);
    if (!d) throw new ParleyError("unknown", `draft ${id}`);
    if (d.r.status !== "failed") throw new ParleyError("bad_request", `draft ${id} has not failed`);
    return d;
  }

  #drop(d: Entry): void {
    this.drafts.delete(d.r.id);
    this.#waiting--;
    this.#waitingBytes -= sizeOf(d.r);
    this.#core.change().drop(d);
  }

  /**
   * Takes back the drafts that no store has taken and no connection has seen, when
   * there is no room for them. It returns them; they are the last of their lanes.
   */
  takeBack(): Entry[] {
    const back: Entry[] = [];
    for (const l of this.#lanes.values()) {
      for (let d = l.drafts.at(-1); d && !d.stored && !d.written && !d.earlier; d = l.drafts.at(-1)) {
        l.drafts.pop();
        l.r.next--;
        this.#drop(d);
        if (d.instead) this.#putBack(d.instead);
        back.push(d);
        d.takenBack?.();
      }
    }
    return back;
  }

  /** Puts back a failed draft that was dropped, of which the store does not know yet. */
  #putBack(d: Entry): void {
    this.drafts.set(d.r.id, d);
    this.#waiting++;
    this.#waitingBytes += sizeOf(d.r);
    this.#core.change().keep(d);
  }

  #enqueue(l: Lane): void {
    if (l.queued || l.drafts.length === 0 && l.plan === Plan.none) return;
    l.queued = true;
    this.#busy.push(l);
  }

  /** Whether a draft could be written now. */
  get sendable(): boolean {
    return this.#busy.some((l) => (l.plan === Plan.none ? l.sent < l.drafts.length : now() >= l.until));
  }

  /** Writes drafts while the window has room, one of each lane in turn. Only what is
   * durable is written: after a crash the same number must have the same body. */
  pump(): void {
    const s = this.#core.session;
    if (!s || this.#core.meta.restoring) return;
    for (let idle = 0; idle < this.#busy.length && s.sends < s.window && s.open; ) {
      const l = this.#busy.shift()!;
      const worked = this.#turn(s, l);
      if (l.drafts.length === 0 && l.plan === Plan.none) {
        l.queued = false;
        continue;
      }
      this.#busy.push(l);
      idle = worked ? 0 : idle + 1;
    }
  }

  /** Does one thing for a lane, and returns whether it did. */
  #turn(s: Session, l: Lane): boolean {
    if (l.plan !== Plan.none) {
      if (l.inFlight > 0) return false;
      if (now() < l.until) {
        this.#core.attend(l.until);
        return false;
      }
      this.#follow(s, l);
      return true;
    }
    const d = l.drafts[l.sent];
    if (!d) return false;
    if (l.r.stream === 0n) {
      this.#assign(l, this.#core.meta.stream, 1);
      return true;
    }
    if (d.generation > this.#core.applied) return false;
    d.earlier = d.earlier || d.written;
    d.written = true;
    l.sent++;
    l.inFlight++;
    s.sends++;
    s.ask(sendOf(d.r), (m) => this.#answered(s, l, d, m));
    return true;
  }

  /** Carries out the plan of a lane that has nothing on its way. */
  #follow(s: Session, l: Lane): void {
    const plan = l.plan;
    if (plan === Plan.find) {
      this.#find(s, l, 0);
      return;
    }
    l.plan = Plan.none;
    l.sent = 0;
    // Those in front of the freed number keep theirs.
    if (plan === Plan.renumber) this.#assign(l, l.r.stream, Math.min(l.freed, l.drafts[0]?.r.number ?? Infinity));
  }

  /** Gives the drafts of a lane a stream, and numbers from one on. */
  #assign(l: Lane, stream: bigint, from: number): void {
    l.sent = l.freed = 0;
    l.r.broken = false;
    l.drafts.forEach((d, i) => {
      d.r.stream = stream;
      d.r.number = from + i;
      d.written = d.earlier = false;
    });
    l.r.stream = stream;
    l.r.next = from + l.drafts.length;
    this.#store(l, ...l.drafts);
  }

  /** Takes the answer to a draft; nothing when the connection ended first. */
  #answered(s: Session, l: Lane, d: Entry, m: wire.ServerMessage | undefined): void {
    if (!m) return; // see lost
    l.inFlight--;
    s.sends--;
    if (d.r.status !== "queued") {
      // Settled by its own message, which came before.
    } else if (m.sent) {
      l.attempts = 0;
      this.#arrived(l, d, m.sent);
    } else if (m.error) {
      d.written = false;
      this.#refused(s, l, d, m.error);
    } else {
      l.plan = Math.max(l.plan, Plan.resend);
    }
    this.#enqueue(l);
    this.pump();
  }

  /** Decides what a refusal asks for. */
  #refused(s: Session, l: Lane, d: Entry, e: wire.Error): void {
    if (e.code === NUMBER_REUSED) {
      // Something else is stored under this number. The number is used up, so those
      // behind it are not held up.
      this.#fail(l, d, e);
    } else if (e.code === RESEND_UNKNOWN) {
      l.plan = Plan.find;
    } else if (e.code === RETRY_IN_ORDER) {
      // The server may know less of the stream than was acknowledged.
      if (!l.r.broken && e.expected < l.drafts[0]!.r.number) l.plan = Plan.find;
      this.#retry(l, e);
    } else if (isRetry(e.code)) {
      this.#retry(l, e);
    } else if (e.code >= 3000) {
      s.renew();
      this.#retry(l, e);
    } else if (d.earlier) {
      // It may have been stored before, when it would have been taken, or be stored
      // now. That is looked up before it counts as failed.
      d.refused = e;
      l.r.broken = true;
      l.plan = Plan.find;
      l.until = now() + lateWait;
      this.#core.attend(l.until);
      this.#store(l);
    } else {
      if (l.freed === 0 || d.r.number < l.freed) l.freed = d.r.number;
      l.r.broken = true;
      l.plan = Math.max(l.plan, Plan.renumber);
      this.#fail(l, d, e);
      // Late bytes of those behind it must find the gap still there.
      if (l.drafts.some((o) => o.earlier)) l.plan = Plan.find;
    }
  }

  /** Has a lane send again what is unanswered, after a pause. Those behind a refused
   * draft come back with retry_in_order, which is no reason to wait: only when it
   * happens again and again. */
  #retry(l: Lane, e: wire.Error): void {
    if (l.plan === Plan.none) l.attempts++; // the first refusal of this round
    l.plan = Math.max(l.plan, Plan.resend);
    if (e.code === RETRY_IN_ORDER && l.attempts <= roundsAtOnce) return;
    l.until = Math.max(l.until, now() + Math.max(e.retryAfterMs, backoff(l.attempts)));
    this.#core.attend(l.until);
  }

  /** Makes a draft a message. */
  #arrived(l: Lane, d: Entry, sent: wire.Sent): void {
    const { conversation, stream, number, kind, text, data } = d.r;
    const m: MessageRecord = {
      conversation, seq: sent.seq, from: this.#core.meta.user, at: sent.at, kind, stream, number,
      ...(text !== undefined && { text }), ...(data !== undefined && { data }),
    };
    this.#sentAs(l, d, sent.seq);
    const v = this.#core.known(conversation);
    this.#core.inbox.take(v, m, 0);
    this.#core.inbox.grown(v);
  }

  /** Takes a draft out of its lane: it is the message seq now. */
  #sentAs(l: Lane, d: Entry, seq: number): void {
    this.#leave(l, d);
    if (d.r.status !== "sent") {
      this.#waitingBytes -= sizeOf(d.r);
      this.#waiting--;
    }
    d.r.status = "sent";
    d.r.seq = seq;
    d.r.code = 0;
    d.r.reason = "";
    this.#store(l, d);
    this.#core.known(d.r.conversation).untoldDrafts.set(d.r.id, seq);
    this.#sent.push(d.r.id);
    if (this.#sent.length > sentMax) this.#forget(this.#sent.shift()!);
  }

  #forget(id: string): void {
    const d = this.drafts.get(id);
    if (!d) return;
    this.drafts.delete(id);
    const p = this.#core.change();
    p.drafts.delete(d);
    p.changes.dropped.push(id);
  }

  /** Takes a draft out of its lane with the server's reason. */
  #fail(l: Lane, d: Entry, e: wire.Error): void {
    this.#leave(l, d);
    d.r.status = "failed";
    d.r.code = e.code;
    d.r.name = e.name;
    d.r.reason = e.message;
    this.#store(l, d);
  }

  #leave(l: Lane, d: Entry): void {
    const i = l.drafts.indexOf(d);
    if (i < 0) return;
    l.drafts.splice(i, 1);
    if (i < l.sent) l.sent--;
  }

  /** Looks at the server for the drafts of a lane, from the nth on, one after the
   * other. What was stored is settled; what was not has failed if it was refused, and
   * else goes to a new stream. */
  #find(s: Session, l: Lane, n: number): void {
    while (n < l.drafts.length && !l.drafts[n]!.written && !l.drafts[n]!.earlier && l.drafts[n]!.refused === undefined) n++;
    const d = l.drafts[n];
    if (!d) {
      this.#restream(s, l);
      return;
    }
    l.inFlight++;
    s.sends++;
    s.ask({ findSent: { conversation: fromHex(d.r.conversation), stream: d.r.stream, number: d.r.number } }, (m) => {
      if (!m) return;
      l.inFlight--;
      s.sends--;
      this.#found(s, l, d, n, m);
      this.#enqueue(l);
      this.pump();
    });
  }

  #found(s: Session, l: Lane, d: Entry, n: number, m: wire.ServerMessage): void {
    if (d.r.status !== "queued") {
      // Settled meanwhile.
    } else if (m.sent) {
      this.#arrived(l, d, m.sent);
    } else if (m.error && isRetry(m.error.code) && m.error.code !== RESEND_UNKNOWN) {
      this.#retry(l, m.error);
      return; // the plan stands: all over again, later
    } else if (d.refused) {
      this.#fail(l, d, d.refused);
    } else {
      d.written = d.earlier = false;
      n++;
    }
    this.#find(s, l, n);
  }

  /** Moves a lane to the stream that this session was given. Where the lane uses that
   * one already, another login gives another. */
  #restream(s: Session, l: Lane): void {
    const stream = s.welcome.stream;
    if (stream === l.r.stream) {
      s.renew();
      return;
    }
    l.plan = Plan.none;
    this.#assign(l, stream, 1);
    this.useStream(stream);
  }

  /** Makes a stream that of conversations to come. */
  useStream(stream: bigint): void {
    const meta = this.#core.meta;
    meta.stream = stream;
    if (!meta.streams.includes(stream)) meta.streams = [...meta.streams, stream].slice(-streamsMax);
    this.#core.putMeta();
  }

  /** Prepares the lanes for the next session: nothing is on its way any more, and
   * what was may have arrived. */
  lost(): void {
    for (const l of this.#lanes.values()) {
      l.sent = l.inFlight = 0;
      if (l.r.broken) l.plan = Plan.find;
      else if (l.plan !== Plan.find) l.plan = Plan.none;
      this.#enqueue(l);
    }
  }

  /** Begins the life with a new incarnation: drafts are looked for, and go on in a new stream. */
  restored(): void {
    for (const l of this.#lanes.values()) {
      if (l.drafts.length === 0) {
        this.#assign(l, this.#core.meta.stream, 1);
        l.plan = Plan.none;
        continue;
      }
      l.r.broken = true;
      l.plan = Plan.find;
      this.#store(l);
    }
  }

  /** Matches a message with the draft that it was: its receipt may have been lost, or
   * its refusal been given to a repeat while the first was still on its way. */
  own(m: MessageRecord): void {
    if (m.from !== this.#core.meta.user || !this.isOurs(m.stream)) return;
    const is = (d: Entry) => d.r.stream === m.stream && d.r.number === m.number && d.r.kind === m.kind &&
      (d.r.text ?? "") === (m.text ?? "") && sameBytes(d.r.data, m.data);
    const l = this.#lane(m.conversation);
    const queued = l.drafts.find((d) => (d.written || d.earlier) && is(d));
    if (queued) {
      this.#sentAs(l, queued, m.seq);
      return;
    }
    if (this.#waiting === 0) return;
    for (const d of this.drafts.values()) {
      if (d.r.status !== "failed" || d.r.code === 0 || d.r.conversation !== m.conversation || !is(d)) continue;
      this.#sentAs(l, d, m.seq);
      return;
    }
  }

  isOurs(stream: bigint): boolean {
    return this.#core.meta.streams.includes(stream);
  }

  /** Makes a message of this device, which a restore took, a failed draft. */
  unsend(m: MessageRecord): void {
    let d: Entry | undefined;
    const i = this.#sent.findIndex((id) => {
      const r = this.drafts.get(id)?.r;
      return r?.conversation === m.conversation && r.stream === m.stream && r.number === m.number;
    });
    if (i >= 0) d = this.drafts.get(this.#sent.splice(i, 1)[0]!);
    if (!d) {
      const r: DraftRecord = {
        id: `${m.stream.toString(16)}-${m.number}`, order: this.#core.meta.nextOrder++, conversation: m.conversation, stream: m.stream,
        number: m.number, kind: m.kind, status: "failed", seq: 0, code: 0, name: "", reason: "", createdAt: Math.floor(m.at / 1000),
      };
      d = { r, generation: 0, written: false, earlier: false, stored: true };
      this.#core.putMeta();
    }
    Object.assign(d.r, { status: "failed", seq: 0, code: 0, reason: "", text: m.text, data: m.data });
    this.drafts.set(d.r.id, d);
    this.#waiting++;
    this.#waitingBytes += sizeOf(d.r);
    this.#core.change().drafts.add(d);
  }
}

function newLane(r: LaneRecord): Lane {
  return { r, drafts: [], sent: 0, inFlight: 0, plan: Plan.none, freed: 0, until: 0, attempts: 0, queued: false };
}

function sizeOf(d: { text?: string | undefined; data?: Uint8Array | undefined }): number {
  return d.text === undefined ? d.data?.length ?? 0 : utf8(d.text).length;
}

function sendOf(d: DraftRecord): Init<wire.Request> {
  const { stream, number, kind, text, data } = d;
  return { send: { conversation: fromHex(d.conversation), stream, number, kind, text, data } };
}
