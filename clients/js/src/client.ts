import type { AnyEvent, Audience, Body, ClientApi, Connection, Conversation, ConversationId, Device, DeviceId, Draft, EventName, Events, Held, HistoryQuery, Member, Options, Page, Presence, Profile, Range, Role, UserId } from "./api.js";
import { stoppedPatch, type CoreOptions, type Patch } from "./core/core.js";
import { Emitter } from "./emitter.js";
import { closedError, erasedError, ParleyError, tokenError } from "./errors.js";
import { IndexedDBStore } from "./indexeddb-store.js";
import { MemoryStore } from "./memory-store.js";
import { Mirror } from "./mirror.js";
import { Alone, Tabs, type Link } from "./tabs.js";
import { kindNumber } from "./views.js";
import { fromBase64, randomHex, textOf, utf8 } from "./wire/bytes.js";
import * as wire from "./wire/schema.js";

const messagesMax = 100_000;
const catchUpMax = 1_000;
/** How old the token may be that `open` read the user from, to be used once more. */
const tokenFresh = 30_000;

/** One user's device; see docs/CLIENT-JS.md. */
export class Client implements ClientApi {
  readonly #mirror = new Mirror();
  readonly #emitter = new Emitter();
  #link!: Link;
  readonly #listening = new AbortController();

  private constructor() {}

  /** Opens what the device holds, and starts. It does not wait for a connection. */
  static async open(options: Options): Promise<Client> {
    const token = await firstToken(options.token);
    const user = userOf(token);
    const core = coreOptions(options, reuse(token, options.token));
    const c = new Client();
    const told = {
      replace: (p: Patch) => c.#emitter.emit(c.#mirror.replace(p)),
      apply: (p: Patch) => {
        c.#emitter.emit(c.#mirror.apply(p));
        if (p.connection?.status === "stopped") c.#emitter.end();
      },
      events: (...events: AnyEvent[]) => c.#emitter.emit(events),
    };
    if (options.store === undefined && canShare()) {
      const name = `parley ${new URL(core.url).host} ${user}`;
      c.#link = await Tabs.open({ core, name, user, makeStore: () => new IndexedDBStore(name), told });
    } else {
      c.#link = await Alone.open(core, options.store ?? new MemoryStore(), user, told);
    }
    c.#listen();
    return c;
  }

  /** Tries at once when the browser has a network again, or is looked at. */
  #listen(): void {
    if (!globalThis.document) return;
    const nudge = () => this.reconnect();
    const shown = () => document.visibilityState === "visible" && nudge();
    const { signal } = this.#listening;
    addEventListener("online", nudge, { signal });
    document.addEventListener("visibilitychange", shown, { signal });
  }

  get user(): UserId {
    return this.#mirror.user;
  }

  get device(): DeviceId {
    return this.#mirror.device;
  }

  get connection(): Connection {
    return this.#mirror.connection;
  }

  get bodyMax(): number {
    return this.#mirror.bodyMax;
  }

  get leader(): boolean {
    return this.#link.leader;
  }

  get durable(): boolean {
    return this.#link.durable;
  }

  conversations(): readonly Conversation[] {
    return this.#mirror.conversations();
  }

  conversation(id: ConversationId): Conversation | undefined {
    return this.#mirror.conversation(id);
  }

  previews(ids: readonly ConversationId[]): void {
    this.#link.call("previews", [...ids]).catch(() => {});
  }

  async send(id: ConversationId, body: Body): Promise<Draft> {
    check(id);
    const draft = randomHex(16);
    if (typeof body === "string") return this.#link.call("send", draft, id, wire.KIND_TEXT, wellFormed(body), undefined);
    return this.#link.call("send", draft, id, kindNumber(body.kind), undefined, body.data.slice());
  }

  drafts(id: ConversationId): readonly Draft[] {
    return this.#mirror.drafts(id);
  }

  async resend(draft: Draft | string): Promise<Draft> {
    return this.#link.call("resend", idOf(draft), randomHex(16));
  }

  async discard(draft: Draft | string): Promise<void> {
    return this.#link.call("discard", idOf(draft));
  }

  async messages(id: ConversationId, range: Partial<Range> = {}): Promise<Held> {
    return this.#link.call("messages", id, range.from ?? 1, range.to ?? Infinity);
  }

  async history(id: ConversationId, query: HistoryQuery = {}): Promise<Page> {
    return this.#link.call("history", id, { ...query });
  }

  async markRead(id: ConversationId, seq = Infinity): Promise<void> {
    return this.#link.call("markRead", id, seq);
  }

  async mute(id: ConversationId, until: Date | null): Promise<void> {
    check(id);
    return this.#link.call("mute", id, until === null ? 0 : Math.max(until.getTime(), 0) * 1000);
  }

  async markUnread(id: ConversationId, unread: boolean): Promise<void> {
    check(id);
    return this.#link.call("markUnread", id, unread);
  }

  async createDirect(user: UserId): Promise<Conversation> {
    return this.#made(await this.#link.call("createDirect", user));
  }

  async createGroup(title: string, users: readonly UserId[]): Promise<Conversation> {
    return this.#made(await this.#link.call("createGroup", wellFormed(title), [...users]));
  }

  #made(id: ConversationId): Conversation {
    const v = this.#mirror.conversation(id);
    if (v === undefined) throw new ParleyError("unknown", `conversation ${id}`);
    return v;
  }

  async rename(id: ConversationId, title: string): Promise<void> {
    check(id);
    return this.#link.call("rename", id, wellFormed(title));
  }

  async addMembers(id: ConversationId, users: readonly UserId[]): Promise<void> {
    check(id);
    return this.#link.call("changeMembers", id, [...users], []);
  }

  async removeMembers(id: ConversationId, users: readonly UserId[]): Promise<void> {
    check(id);
    return this.#link.call("changeMembers", id, [], [...users]);
  }

  async leave(id: ConversationId): Promise<void> {
    check(id);
    return this.#link.call("leave", id);
  }

  async setRole(id: ConversationId, user: UserId, role: Exclude<Role, "none">): Promise<void> {
    check(id);
    return this.#link.call("setRole", id, user, role);
  }

  async members(id: ConversationId): Promise<readonly Member[]> {
    check(id);
    return this.#link.call("members", id);
  }

  async presence(users: readonly UserId[]): Promise<readonly Presence[]> {
    return this.#link.call("presence", [...users]);
  }

  watch(ids: readonly ConversationId[]): void {
    ids.forEach(check);
    this.#link.watch([...ids]);
  }

  typing(id: ConversationId, active: boolean): void {
    check(id);
    this.#link.call("typing", id, active).catch(() => {});
  }

  async devices(): Promise<readonly Device[]> {
    return this.#link.call("devices");
  }

  async revoke(device: DeviceId): Promise<void> {
    return this.#link.call("revoke", device);
  }

  async profiles(users: readonly UserId[]): Promise<readonly Profile[]> {
    return this.#link.call("profiles", [...users]);
  }

  async setProfile(change: { readonly name?: string; readonly picture?: string; readonly lastSeenTo?: Audience }): Promise<Profile> {
    const { name, picture, ...rest } = change;
    return this.#link.call("setProfile", {
      ...rest, ...(name !== undefined && { name: wellFormed(name) }), ...(picture !== undefined && { picture: wellFormed(picture) }),
    });
  }

  on<N extends EventName>(name: N, listener: (event: Events[N]) => void): () => void {
    return this.#emitter.on(name, listener);
  }

  events(): AsyncIterableIterator<AnyEvent> {
    return this.#emitter.stream();
  }

  reconnect(): void {
    this.#link.call("nudge").catch(() => {});
  }

  async close(): Promise<void> {
    this.#listening.abort();
    await this.#link.close();
    this.#closed(closedError());
  }

  async erase(): Promise<void> {
    this.#listening.abort();
    await this.#link.erase();
    this.#closed(erasedError());
  }

  #closed(e: ParleyError): void {
    if (this.connection.status !== "stopped") this.#emitter.emit(this.#mirror.apply({ connection: stoppedPatch(e).connection! }));
    this.#emitter.end();
  }
}

/** Whether tabs can share a device: IndexedDB, and locks, which only secure pages have. */
function canShare(): boolean {
  return Boolean(globalThis.indexedDB && globalThis.BroadcastChannel && globalThis.navigator?.locks);
}

function coreOptions(o: Options, token: Options["token"]): CoreOptions {
  const url = o.url ?? pageURL();
  const webSocket = o.webSocket ?? (globalThis as { WebSocket?: Options["webSocket"] }).WebSocket;
  if (webSocket === undefined) throw new ParleyError("bad_request", "the option webSocket is not set");
  return {
    url, token, webSocket, subprotocol: o.subprotocol ?? "proto",
    device: { name: atMost(o.device?.name ?? deviceName(), 64), platform: atMost(o.device?.platform ?? (globalThis.document ? "web" : "node"), 32) },
    messagesMax: Math.max(o.messagesMax ?? messagesMax, 1), catchUpMax: Math.max(o.catchUpMax ?? catchUpMax, 1),
  };
}

function pageURL(): string {
  if (!globalThis.location?.host) throw new ParleyError("bad_request", "the option url is not set");
  return `${location.protocol === "http:" ? "ws" : "wss"}://${location.host}/ws`;
}

async function firstToken(token: Options["token"]): Promise<string> {
  try {
    return String(await token());
  } catch (e) {
    throw tokenError(e);
  }
}

/** Gives a token that was just fetched to the first who asks. */
function reuse(first: string, token: Options["token"]): Options["token"] {
  let at: number | undefined = performance.now();
  return () => {
    const fresh = at !== undefined && performance.now() - at < tokenFresh;
    at = undefined;
    return fresh ? first : token();
  };
}

/** The user whom a token names. The server alone checks it; here it says which of the
 * device's stores is his, so that the app can draw before there is a connection. */
function userOf(token: string): UserId {
  try {
    const bytes = fromBase64(token.split(".")[1]!);
    return String((JSON.parse(textOf(bytes)) as { sub?: unknown }).sub ?? "");
  } catch {
    return "";
  }
}

/** What can be told of the browser, and of what it runs on. */
function deviceName(): string {
  const agent = globalThis.navigator?.userAgent ?? "";
  const found = [/Edg|Firefox|Chrome|Safari|Node/, /Android|iPhone|iPad|Windows|Mac|Linux/].map((r) => r.exec(agent)?.[0]);
  return found.filter(Boolean).join(" on ").replace("Edg", "Edge");
}

/** Text of so many bytes at most, without a character cut in two. */
function atMost(text: string, bytes: number): string {
  let out = "";
  for (const c of wellFormed(text)) {
    if (utf8(out + c).length > bytes) break;
    out += c;
  }
  return out;
}

/** Text that has a form in UTF-8: half a character becomes the sign for that. */
function wellFormed(text: string): string {
  return /[\ud800-\udfff]/.test(text) ? textOf(utf8(text)) : text;
}

function check(id: ConversationId): void {
  if (!/^[0-9a-f]{32}$/.test(id)) throw new ParleyError("unknown", `conversation ${id}`);
}

function idOf(draft: Draft | string): string {
  return typeof draft === "string" ? draft : draft.id;
}
