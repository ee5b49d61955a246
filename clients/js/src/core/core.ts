import type { AnyEvent, Connection, Draft, Options } from "../api.js";
import { closedError, ParleyError, reasonOf, StoreError } from "../errors.js";
import * as ranges from "../ranges.js";
import { isEmpty, noChanges, type Changes, type MessageRecord, type MetaRecord, type Saved, type Store } from "../store.js";
import { conversationData, draftView, itemsOf, sameData, type ConversationData } from "../views.js";
import type { Subprotocol } from "../wire/codec.js";
import { randomHex } from "../wire/bytes.js";
import { Calls } from "./calls.js";
import { backoff, now, pause, waitMax } from "./clock.js";
import { connect } from "./connect.js";
import { blankRecord, Conv } from "./conversation.js";
import { Inbox } from "./inbox.js";
import { Live } from "./live.js";
import { Marks } from "./marks.js";
import { Outbox } from "./outbox.js";
import { Pending } from "./pending.js";
import { Puller } from "./pull.js";
import { Restorer } from "./restore.js";
import type { Session } from "./session.js";
import { Syncer } from "./sync.js";

/** What changed, for every tab to take over and tell: plain, so that it can be posted. */
export interface Patch {
  user?: string;
  device?: string;
  bodyMax?: number;
  connection?: Connection;
  conversations?: readonly ConversationData[];
  gone?: readonly string[];
  /** With their place among the drafts of their conversation. */
  drafts?: readonly { readonly order: number; readonly draft: Draft }[];
  /** Drafts that are messages now, and told as such. */
  settled?: readonly Draft[];
  discarded?: readonly Draft[];
  events?: readonly AnyEvent[];
}

export interface CoreOptions {
  readonly url: string;
  readonly token: Options["token"];
  readonly device: { readonly name: string; readonly platform: string };
  readonly subprotocol: Subprotocol;
  readonly webSocket: NonNullable<Options["webSocket"]>;
  readonly messagesMax: number;
  readonly catchUpMax: number;
}

/** How many messages an event has at most. */
const eventMax = 500;
/** How many messages are read from the store at once. */
const readMax = 1000;
/** How many messages of a conversation are kept when others are dropped. */
const keepMin = 100;
/** How long `close` waits for answers to what is on its way. */
const closeWait = 3_000;

/** The device: everything but tabs. One tab of a browser has it, and tells the others. */
export class Core {
  meta: MetaRecord;
  readonly conversations = new Map<string, Conv>();
  readonly outbox = new Outbox(this);
  readonly inbox = new Inbox(this);
  readonly sync = new Syncer(this);
  readonly pulls = new Puller(this);
  readonly marks = new Marks(this);
  readonly restorer = new Restorer(this);
  readonly live = new Live(this);
  readonly calls = new Calls(this);

  session: Session | undefined;
  connection: Connection = { status: "offline" };
  /** The generation that was applied last. */
  applied = 0;
  /** Why the client gave up. */
  stopped: ParleyError | undefined;
  readonly stopping = new AbortController();

  #pending = new Pending(1);
  #keeping: Promise<void> | undefined;
  #attention: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #events: AnyEvent[] = [];
  #connecting: Promise<void> | undefined;
  #held = 0;
  #clock = 0;
  readonly #onlineWaiters = new Set<() => void>();
  #fullTries = 0;
  /** Wakes the pause before a full store is tried again. */
  retryStore: () => void = () => {};
  /** Wakes the pause before the next attempt to connect. */
  nudge: () => void = () => {};

  private constructor(readonly o: CoreOptions, readonly store: Store, readonly emit: (patch: Patch) => void, meta: MetaRecord) {
    this.meta = meta;
  }

  /** Takes over what the store holds. */
  static async load(o: CoreOptions, store: Store, user: string, emit: (patch: Patch) => void): Promise<Core> {
    const saved = await store.load();
    const core = new Core(o, store, emit, saved.meta ?? {
      user, device: randomHex(16), incarnation: 0n, restoring: false, cursor: new Uint8Array(), stream: 0n, streams: [], nextOrder: 1, bodyMax: 0,
    });
    await core.#takeOver(saved);
    if (saved.meta === undefined) core.putMeta();
    return core;
  }

  async #takeOver(saved: Saved): Promise<void> {
    for (const r of saved.conversations) {
      const v = new Conv(r);
      this.conversations.set(r.id, v);
      this.#held += ranges.size(r.held);
      // Finds the messages again that were not folded into the counts.
      for (const [from, to] of ranges.within(r.held, r.counted + 1, r.last)) {
        for (const m of await this.store.messages(r.id, from, to, readMax)) v.count(m.seq, this.inbox.tallyOf(m, 0));
      }
      v.fold();
    }
    this.outbox.load(saved.lanes, saved.drafts);
  }

  start(): void {
    this.#connecting = connect(this);
  }

  /** What another tab, or this one, is to know at first. */
  snapshot(): Patch {
    const all = [...this.outbox.drafts.values()].filter((d) => d.r.status !== "sent");
    return {
      user: this.meta.user, device: this.meta.device, bodyMax: this.meta.bodyMax, connection: this.connection,
      conversations: [...this.conversations.values()].filter((v) => v.stated).map((v) => (v.shown ??= conversationData(v, this.meta.user))),
      drafts: all.map((d) => ({ order: d.r.order, draft: draftView(d.r) })),
    };
  }

  // -------------------------------------------------------------------------
  // The store. One loop writes to it. It takes all that has gathered as one, then
  // lets go what had to be durable first: drafts to the server, acknowledgements,
  // events.
  // -------------------------------------------------------------------------

  /** What the next change of the store takes. */
  change(): Pending {
    this.#keeping ??= Promise.resolve().then(() => this.#keep());
    return this.#pending;
  }

  async #keep(): Promise<void> {
    try {
      while (!this.#pending.empty && !this.stopped) await this.#apply();
      if (this.stopped) this.#pending.settle(this.stopped);
    } catch (e) {
      this.giveUp(asStoreError(e));
      this.#pending.settle(this.stopped);
    } finally {
      this.#keeping = undefined;
      const p = this.#pending;
      if (p.empty) {
        // Whoever waits for nothing has waited long enough.
        this.#pending = new Pending(p.generation + 1);
        p.settle(this.stopped);
      } else if (!this.stopped) {
        this.change();
      }
    }
  }

  async #apply(): Promise<void> {
    for (let lost = this.#pending.lost.shift(); lost !== undefined; lost = this.#pending.lost.shift()) await this.#unsend(lost);
    const p = this.#pending;
    this.#pending = new Pending(p.generation + 1);
    const changes = this.#fill(p);
    const ready = [...p.conversations].filter((v) => this.#isHere(v)).map((v) => ({ v, r: v.r, tail: v.r.tail, prefix: v.prefix() }));
    try {
      if (changes !== undefined) await this.store.apply(changes);
    } catch (e) {
      await this.#storeFailed(p, asStoreError(e));
      return;
    }
    this.#fullTries = 0;
    this.applied = p.generation;
    for (const d of p.drafts) {
      d.stored = true;
      delete d.instead;
    }
    for (const { v, r, tail, prefix } of ready) {
      if (!this.#isHere(v) || v.r !== r || !v.stated) continue; // gone, or of the store before a restore
      v.tellable = Math.max(v.tellable, tail);
      v.durable = prefix;
    }
    const told = await this.#tellMessages(ready.map((r) => r.v));
    this.#tell(p, told);
    p.settle();
    for (const { v } of ready) this.marks.due(v);
    this.outbox.pump();
    this.#trim();
  }

  #isHere(v: Conv): boolean {
    return this.conversations.get(v.r.id) === v;
  }

  /** Makes the changes of what was marked; undefined where nothing is to be stored. */
  #fill(p: Pending): Changes | undefined {
    const c: Changes = { ...noChanges(), ...p.changes };
    if (p.meta) c.meta = { ...this.meta };
    c.conversations = [...p.conversations].filter((v) => this.#isHere(v)).map((v) => v.snapshot());
    c.lanes = [...p.lanes].map((l) => ({ ...l }));
    c.drafts = [...p.drafts].filter((d) => this.outbox.drafts.get(d.r.id) === d)
      .map(({ r }) => (r.status === "sent" ? { ...r, text: undefined, data: undefined } : { ...r }));
    return isEmpty(c) ? undefined : c;
  }

  /**
   * A store that fails stops the client: what is in memory would not be true any more.
   * But where it was emptied it is filled again; and where it is full, what is to be
   * sent is refused, room is made, and the rest waits: nothing is acknowledged or told
   * before it is kept.
   */
  async #storeFailed(p: Pending, e: StoreError): Promise<void> {
    this.#pending.prepend(p);
    if (e.lost) {
      this.#trouble(e);
      this.#storeAll();
      return;
    }
    if (e.code !== "store_full") throw e;
    const back = this.outbox.takeBack();
    if (back.length > 0 || this.#fullTries === 0) this.#trouble(e);
    if (back.length > 0) return;
    this.#trim(0);
    await pause(backoff(this.#fullTries++), (over) => (this.retryStore = over));
  }

  /** Has all that is in memory stored anew. The messages are gone from the device. */
  #storeAll(): void {
    const p = this.change();
    p.changes.messages.length = 0;
    p.meta = true;
    this.#held = 0;
    for (const v of this.conversations.values()) {
      v.r.held = [];
      v.r.doubt = [];
      v.r.tail = v.tellable = v.told;
      v.untold.clear();
      v.r.confirmedDelivered = Math.max(v.r.confirmedDelivered, v.durable);
      p.conversations.add(v);
      this.pulls.want(v);
    }
    this.outbox.storeAll();
  }

  /** Makes failed drafts of the own messages in a range that a restore took. */
  async #unsend(lost: { conversation: string; from: number; to: number }): Promise<void> {
    let { from } = lost;
    for (;;) {
      const messages = await this.store.messages(lost.conversation, from, lost.to, readMax);
      for (const m of messages) if (m.from === this.meta.user && this.outbox.isOurs(m.stream)) this.outbox.unsend(m);
      if (messages.length < readMax) return;
      from = messages.at(-1)!.seq + 1;
    }
  }

  /** Has a conversation stored, and shown. */
  put(v: Conv): void {
    this.change().conversations.add(v);
  }

  putMeta(): void {
    this.change().meta = true;
  }

  /** Resolves once what has gathered is durable; at once if there is nothing. */
  async settled(): Promise<void> {
    if (this.#keeping) await this.committed();
  }

  /** Stops the client because its store failed. */
  storeBroke(e: unknown): void {
    this.giveUp(asStoreError(e));
  }

  /** Resolves once everything so far is durable. */
  async committed(): Promise<void> {
    if (this.stopped) throw this.stopped;
    const p = this.change();
    await p.done;
  }

  // -------------------------------------------------------------------------
  // Telling
  // -------------------------------------------------------------------------

  /** Has an event told once what has happened is durable. */
  note(...events: AnyEvent[]): void {
    this.#events.push(...events);
    this.change().told = true;
  }

  connectionIs(c: Connection): void {
    this.connection = c;
    this.emit({ connection: c });
  }

  /** Something that the user should know. */
  #trouble(e: StoreError): void {
    this.emit({ events: [{ type: "trouble", error: e.toFailure() }] });
  }

  async #tellMessages(of: readonly Conv[]): Promise<AnyEvent[]> {
    const events: AnyEvent[] = [];
    for (const v of of) {
      while (this.#isHere(v) && v.tellable > v.told) {
        const from = v.told + 1;
        const next = ranges.within(v.r.held, from, v.tellable)[0];
        if (!next) break;
        const span = [next[0], Math.min(next[1], next[0] + eventMax - 1)] as const;
        const messages = recent(v, span) ?? (await this.store.messages(v.r.id, span[0], span[1], eventMax));
        if (v.told + 1 !== from) continue; // a restore came between
        v.told = span[1];
        for (const seq of v.untold.keys()) if (seq <= v.told) v.untold.delete(seq);
        events.push({
          type: "messages", id: v.r.id, items: itemsOf(v.r.id, span, messages, this.meta.user),
          ...(next[0] > from && { hole: { from, to: next[0] - 1 } }),
        });
        for (const m of messages) this.live.wrote(m.conversation, m.from);
      }
    }
    return events;
  }

  /** Tells what a change of the store was about. */
  #tell(p: Pending, messages: readonly AnyEvent[]): void {
    const { user, device, bodyMax } = this.meta;
    const drafts = [...p.drafts].filter((d) => this.outbox.drafts.get(d.r.id) === d).map(({ r }) => ({ order: r.order, draft: draftView(r) }));
    const conversations: ConversationData[] = [];
    const settled: Draft[] = [];
    for (const v of p.conversations) {
      const here = this.#isHere(v);
      if (here && v.stated) {
        const data = conversationData(v, user);
        if (!v.shown || !sameData(v.shown, data)) conversations.push((v.shown = data));
      }
      for (const [id, seq] of v.untoldDrafts) {
        if (seq > v.told && here) continue;
        v.untoldDrafts.delete(id);
        const d = this.outbox.drafts.get(id);
        if (!d) continue;
        settled.push(draftView(d.r));
        d.r.text = d.r.data = undefined;
      }
    }
    this.emit({
      user, device, bodyMax, conversations, drafts, settled,
      gone: p.changes.gone.filter((id) => !this.conversations.has(id)),
      discarded: p.dropped.map((d) => draftView(d.r)),
      events: [...this.#events.splice(0), ...messages],
    });
  }

  // -------------------------------------------------------------------------
  // What is held
  // -------------------------------------------------------------------------

  /** A conversation, made if it is new. */
  known(id: string): Conv {
    let v = this.conversations.get(id);
    if (!v) {
      v = new Conv(blankRecord(id, this.meta.incarnation));
      this.conversations.set(id, v);
    }
    return v;
  }

  /** Stores a message, which is held now. */
  keepMessage(v: Conv, m: MessageRecord): void {
    this.#held++;
    v.touched = ++this.#clock;
    this.change().changes.messages.push(m);
  }

  /** So many messages are not held any more. */
  dropped(n: number): void {
    this.#held = Math.max(this.#held - n, 0);
  }

  touch(v: Conv): void {
    v.touched = ++this.#clock;
  }

  /** Drops old messages of the conversations that were looked at longest ago, when too
   * many are held. */
  #trim(max = this.o.messagesMax): void {
    if (this.#held <= max) return;
    const target = max * 0.9;
    for (const v of [...this.conversations.values()].sort((a, b) => a.touched - b.touched)) {
      if (this.#held <= target) return;
      // What is to be told or acknowledged stays.
      const to = Math.min(v.r.last - keepMin, v.r.tail, v.told, v.r.confirmedDelivered, v.r.counted, v.r.read);
      const dropped = ranges.size(ranges.within(v.r.held, 1, to));
      if (dropped === 0 || v.reading > 0 || v.r.doubt.length > 0) continue;
      v.r.held = ranges.within(v.r.held, to + 1, v.r.last);
      this.change().cut(v.r.id, 1, to);
      this.dropped(dropped);
      this.put(v);
    }
  }

  // -------------------------------------------------------------------------
  // The clock, and the end
  // -------------------------------------------------------------------------

  /** Has `tend` run at a time. */
  attend(at: number): void {
    if (this.#attention !== undefined && at >= this.#attention) return;
    this.#attention = at;
    this.#setTimer();
  }

  #setTimer(): void {
    clearTimeout(this.#timer);
    const wait = this.#attention! - now();
    if (wait > 0) this.#timer = setTimeout(() => this.tend(), Math.min(wait, waitMax));
    else queueMicrotask(() => this.tend());
  }

  /** Does what the clock asks for, if it is time. A tab in the background has slow
   * timers, so this is also called when something comes. */
  tend(): void {
    if (this.#attention === undefined || this.stopped) return;
    if (now() < this.#attention) {
      this.#setTimer();
      return;
    }
    this.#attention = undefined;
    const s = this.session;
    if (s && s.open) {
      if (s.syncAgain && !s.syncing) this.sync.start(s);
      this.marks.send(s);
      this.pulls.more(s);
    }
    this.outbox.pump();
  }

  /** Throws when the client is of no further use. */
  usable(): void {
    if (this.stopped) throw this.stopped;
  }

  /** Stops the client for good. */
  giveUp(e: ParleyError): void {
    if (this.stopped) return;
    this.stopped = e;
    this.stopping.abort();
    this.session?.close();
    this.nudge();
    this.retryStore();
    this.wakeOnline();
    this.live.close();
    clearTimeout(this.#timer);
    if (e.code !== "closed") this.emit(stoppedPatch(e));
  }

  /** Sends what is on its way for a moment, ends the connection, and closes the store. */
  async close(): Promise<void> {
    if (!this.stopped) {
      const deadline = now() + closeWait;
      while (this.session && now() < deadline && !this.meta.restoring && this.#busy(this.session)) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await atMost(closeWait, this.committed());
    }
    this.giveUp(closedError());
    await atMost(closeWait, this.#connecting); // the app may owe it a token
    await atMost(closeWait, this.#keeping);
    await this.store.close();
  }

  #busy(s: Session): boolean {
    return s.sends > 0 || this.outbox.sendable || s.acknowledging > 0 || this.marks.waiting;
  }

  /** Resolves when there is a session, or rejects. */
  async online(within: number): Promise<Session> {
    const deadline = now() + within;
    for (;;) {
      this.usable();
      if (this.session && this.session.open) return this.session;
      const left = deadline - now();
      if (left <= 0) throw new ParleyError("network", "there is no connection");
      let wake = () => {};
      await pause(left, (over) => this.#onlineWaiters.add((wake = over)));
      this.#onlineWaiters.delete(wake);
    }
  }

  wakeOnline(): void {
    for (const wake of this.#onlineWaiters) wake();
  }
}

/** The messages of a range, if all of them are in memory. */
function recent(v: Conv, [from, to]: readonly [number, number]): MessageRecord[] | undefined {
  const messages: MessageRecord[] = [];
  for (let i = 0; i <= to - from; i++) { // past 2^53 a sequence has no next
    const m = v.untold.get(from + i);
    if (!m) return undefined;
    messages.push(m);
  }
  return messages;
}

/** Waits for something, but not for ever: a store may hang. */
async function atMost(ms: number, what: Promise<void> | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([what, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]).catch(() => {});
  clearTimeout(timer);
}

/** What tells of the end. */
export function stoppedPatch(e: ParleyError): Patch {
  const error = e.toFailure();
  return { connection: { status: "stopped", error }, events: [{ type: "stopped", error }] };
}

function asStoreError(e: unknown): StoreError {
  return e instanceof StoreError ? e : new StoreError("store_broken", reasonOf(e), e);
}
