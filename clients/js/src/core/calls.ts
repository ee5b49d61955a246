import type { Audience, Device, Draft, Held, HistoryQuery, Item, Member, Page, Presence, Profile, Role } from "../api.js";
import { ParleyError, StoreError } from "../errors.js";
import * as ranges from "../ranges.js";
import type { Span } from "../store.js";
import { audienceNumber, deviceView, draftView, isRetry, itemsOf, memberView, presenceView, refusal, roleNumber } from "../views.js";
import { fromHex, toHex } from "../wire/bytes.js";
import type { Init } from "../wire/codec.js";
import type * as wire from "../wire/schema.js";
import { backoff, now } from "./clock.js";
import type { Conv } from "./conversation.js";
import type { Core } from "./core.js";
import type { Entry } from "./outbox.js";
import { pageMax } from "./pull.js";

/** How many calls may wait for their answer. */
const callsMax = 1_000;
/** How long a call waits for a connection, and how long it is tried in all. */
const onlineWait = 10_000;
const callWait = 30_000;
/** How many users one request names. */
const usersMax = 200;
/** How many messages `messages` and `history` return at most. */
const messagesMax = 1_000;
const historyMax = 500;

/** What a tab may ask of the device. Everything here can be posted. */
export class Calls {
  #running = 0;

  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  // The outbox

  async send(id: string, conversation: string, kind: number, text: string | undefined, data: Uint8Array | undefined): Promise<Draft> {
    const d = this.#core.outbox.enter(id, conversation, kind, text, data);
    this.#core.live.sent(conversation);
    return this.#entered(d);
  }

  async resend(old: string, id: string): Promise<Draft> {
    return this.#entered(this.#core.outbox.again(old, id));
  }

  async #entered(d: Entry): Promise<Draft> {
    const draft = draftView(d.r);
    this.#core.retryStore();
    await new Promise<void>((resolve, reject) => {
      d.takenBack = () => reject(new StoreError("store_full", "nothing was stored"));
      this.#core.committed().then(resolve, reject);
    });
    return draft;
  }

  async discard(id: string): Promise<void> {
    this.#core.outbox.discard(id);
    await this.#core.committed();
  }

  // Reading

  #conversation(id: string): Conv {
    this.#core.usable();
    const v = this.#core.conversations.get(id);
    if (!v) throw new ParleyError("unknown", `conversation ${id}`);
    this.#core.touch(v);
    return v;
  }

  async messages(id: string, from: number, to: number): Promise<Held> {
    const v = this.#conversation(id);
    to = Math.min(to, v.r.last);
    from = Math.max(from, 1, to - messagesMax + 1);
    const held = ranges.within(v.r.held, from, to);
    const holes = ranges.missing(v.r.held, from, to).map(([a, b]) => ({ from: a, to: b }));
    return this.#reading(v, async () => {
      await this.#core.settled();
      const items: Item[] = [];
      for (const span of held) items.push(...(await this.#items(id, span)));
      return { items, holes };
    });
  }

  /** Reads, while nothing of the conversation is dropped. */
  async #reading<T>(v: Conv, read: () => Promise<T>): Promise<T> {
    v.reading++;
    try {
      return await read();
    } finally {
      v.reading--;
    }
  }

  async #items(id: string, span: Span): Promise<Item[]> {
    return itemsOf(id, span, await this.#core.store.messages(id, span[0], span[1], messagesMax), this.#core.meta.user);
  }

  async history(id: string, q: HistoryQuery): Promise<Page> {
    const v = this.#conversation(id);
    return this.#reading(v, () => this.#page(v, stretch(q, v.r.last)));
  }

  async #page(v: Conv, { from, to, anchor }: Stretch): Promise<Page> {
    let partial = false;
    for (let missing = ranges.missing(v.r.held, from, to); missing.length > 0 && !partial; missing = ranges.missing(v.r.held, from, to)) {
      // From the end that was asked for.
      const hole = anchor === from ? missing[0]! : missing.at(-1)!;
      partial = !(await this.#fill(v, hole, anchor !== from));
    }
    await this.#core.settled();
    const held = partial ? ranges.run(ranges.within(v.r.held, from, to), anchor) : to < from ? undefined : ([from, to] as const);
    const [a, b] = held ?? (anchor === from ? [from, from - 1] : [to + 1, to]);
    const items = held === undefined ? [] : await this.#items(v.r.id, held);
    return { items, from: a, to: b, before: a > 1, after: b < v.r.last, partial };
  }

  /** Reads a part of a hole; false if the server can not be asked, or gives nothing. */
  async #fill(v: Conv, [from, to]: Span, backward: boolean): Promise<boolean> {
    const core = this.#core;
    if (!core.session && core.connection.status === "offline") return false;
    const { incarnation } = core.meta;
    try {
      const m = await this.#ask({ history: { conversation: fromHex(v.r.id), from, to, backward, limit: pageMax } }, true);
      if (!m.page || core.conversations.get(v.r.id) !== v || core.meta.incarnation !== incarnation) return false;
      core.inbox.takePage(v, m.page);
      return ranges.size(ranges.missing(v.r.held, from, to)) < to - from + 1;
    } catch (e) {
      if (e instanceof ParleyError && e.code === "network") return false;
      throw e;
    }
  }

  previews(ids: readonly string[]): void {
    this.#core.pulls.previews(ids);
  }

  // What the user alone sees

  async markRead(id: string, seq: number): Promise<void> {
    await this.#core.marks.read(this.#conversation(id), seq);
  }

  async mute(id: string, until: number): Promise<void> {
    await this.#ask({ prefer: { conversation: fromHex(id), muteUntil: until } }, true);
  }

  async markUnread(id: string, unread: boolean): Promise<void> {
    const v = this.#core.conversations.get(id);
    // A read mark that came to the server after the flag would clear it.
    if (unread && v && v.r.read > v.r.confirmedRead) await this.#tellRead(v);
    await this.#ask({ prefer: { conversation: fromHex(id), markUnread: unread } }, true);
  }

  /** Has the server know how far the user has read. What he read of a store that was
   * restored meanwhile is not told. */
  async #tellRead(v: Conv): Promise<void> {
    await this.#core.online(onlineWait);
    const { r } = v;
    const { id, read } = r;
    if (r.incarnation !== this.#core.meta.incarnation) return;
    await this.#ask({ acknowledge: { marks: [{ conversation: fromHex(id), read }] } }, true);
    if (v.r !== r) return;
    r.confirmedRead = Math.max(r.confirmedRead, read);
    this.#core.put(v);
  }

  // Conversations

  async createDirect(peer: string): Promise<string> {
    return this.#create({ peer }, true);
  }

  /** After "interrupted" the group may be there. */
  async createGroup(title: string, members: readonly string[]): Promise<string> {
    return this.#create({ title, members }, false);
  }

  async #create(create: Init<wire.Create>, repeat: boolean): Promise<string> {
    const core = this.#core;
    const m = await this.#ask({ create }, repeat);
    const s = core.session;
    if (!m.state || !s) throw new ParleyError("unavailable", "the server did not say");
    const id = toHex(m.state.conversation);
    core.inbox.state(s, m.state);
    await core.committed();
    if (core.conversations.get(id)?.stated !== true) throw new ParleyError("unavailable", "the server was restored");
    return id;
  }

  async rename(id: string, title: string): Promise<void> {
    await this.#ask({ rename: { conversation: fromHex(id), title } }, true);
  }

  async changeMembers(id: string, add: readonly string[], remove: readonly string[]): Promise<void> {
    await this.#ask({ changeMembers: { conversation: fromHex(id), add, remove } }, false);
  }

  async leave(id: string): Promise<void> {
    await this.changeMembers(id, [], [this.#core.meta.user]);
  }

  async setRole(id: string, user: string, role: Role): Promise<void> {
    await this.#ask({ setRole: { conversation: fromHex(id), user, role: roleNumber(role) } }, true);
  }

  async members(id: string): Promise<Member[]> {
    const m = await this.#ask({ members: { conversation: fromHex(id) } }, true);
    if (!m.members) return [];
    const v = this.#core.conversations.get(id);
    if (v) {
      this.#core.inbox.takeMembers(v, m.members);
      await this.#core.committed();
    }
    return m.members.members.map(memberView);
  }

  // People and devices

  async presence(users: readonly string[]): Promise<Presence[]> {
    const all: Presence[] = [];
    for (const part of parts(users)) {
      const m = await this.#ask({ presence: { users: part } }, true);
      all.push(...(m.presences?.presences ?? []).map(presenceView));
    }
    return all;
  }

  watch(tab: string, ids: readonly string[]): void {
    this.#core.live.watch(tab, ids);
  }

  typing(id: string, active: boolean): void {
    this.#core.live.typing(id, active);
  }

  async profiles(users: readonly string[]): Promise<Profile[]> {
    const { live } = this.#core;
    const found = new Map<string, Profile>();
    for (const user of users) {
      const p = live.profile(user);
      if (p) found.set(user, p);
    }
    for (const part of parts(users.filter((u) => !found.has(u)))) {
      const m = await this.#ask({ profiles: { users: part } }, true);
      for (const p of live.profiled(m.profiles ?? { profiles: [] })) found.set(p.user, p);
    }
    return users.flatMap((u) => found.get(u) ?? []);
  }

  async setProfile(change: { name?: string; picture?: string; lastSeenTo?: Audience }): Promise<Profile> {
    const { name, picture, lastSeenTo } = change;
    const m = await this.#ask({ setProfile: { name, picture, lastSeenTo: lastSeenTo && audienceNumber(lastSeenTo) } }, true);
    const own = this.#core.live.profiled(m.profiles ?? { profiles: [] })[0];
    if (own === undefined) throw new ParleyError("unavailable", "the server did not say");
    return own;
  }

  async devices(): Promise<Device[]> {
    const m = await this.#ask({ devices: {} }, true);
    return (m.devices?.devices ?? []).map(deviceView);
  }

  async revoke(device: string): Promise<void> {
    await this.#ask({ revokeDevice: { device: fromHex(device) } }, true);
  }

  /** The browser says that there is a network again, or that somebody looks. */
  nudge(): void {
    this.#core.nudge();
    this.#core.session?.probe();
  }

  /**
   * Asks the server and waits for the answer, for a while also for a connection. What
   * is refused for now is asked again. `repeat` says that asking twice does no harm:
   * then a lost answer is asked for again, and is else "interrupted".
   */
  async #ask(request: Init<wire.Request>, repeat: boolean): Promise<wire.ServerMessage> {
    if (this.#running >= callsMax) throw new ParleyError("overloaded", "too many calls wait");
    this.#running++;
    try {
      const deadline = now() + callWait;
      for (let attempt = 0; ; attempt++) {
        const s = await this.#core.online(Math.min(onlineWait, deadline - now()));
        if (!s.open) continue; // just now: it was not asked
        const m = await new Promise<wire.ServerMessage | undefined>((resolve) => s.ask(request, resolve));
        this.#core.usable();
        if (!m) {
          if (!repeat) throw new ParleyError("interrupted", "the connection ended before the answer");
          continue;
        }
        if (!m.error) return m;
        const pause = Math.max(backoff(attempt), m.error.retryAfterMs);
        if (!isRetry(m.error.code) || now() + pause > deadline) throw refusal(m.error);
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    } finally {
      this.#running--;
    }
  }
}

/** The calls by name, as a tab makes them. */
export type CallName = keyof Calls;

/** Those that may have been carried out when their answer is lost, and then must not
 * be made again. */
export const once: ReadonlySet<CallName> = new Set(["createGroup", "changeMembers", "leave"]);

interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly anchor: number;
}

/** Which sequences a query names, and from where they are wanted. */
function stretch(q: HistoryQuery, last: number): Stretch {
  const limit = Math.min(Math.max(Math.floor(q.limit ?? 50), 1), historyMax);
  if (q.after !== undefined) {
    const from = Math.max(q.after, 0) + 1;
    return { from, to: Math.min(last, from + limit - 1), anchor: from };
  }
  if (q.around !== undefined) {
    const anchor = Math.min(Math.max(q.around, 1), last);
    const from = Math.max(Math.min(anchor - (limit >> 1), last - limit + 1), 1);
    return { from, to: Math.min(last, from + limit - 1), anchor };
  }
  const to = Math.min(last, (q.before ?? Infinity) - 1);
  return { from: Math.max(to - limit + 1, 1), to, anchor: to };
}

function parts(users: readonly string[]): string[][] {
  const all: string[][] = [];
  for (let i = 0; i < users.length; i += usersMax) all.push(users.slice(i, i + usersMax));
  return all;
}
