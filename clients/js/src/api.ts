// What an app sees of this package: the options that it gives, the values that it
// gets, and the events that it hears. docs/CLIENT-JS.md says how to use them.

/** A conversation's 16 bytes as 32 hexadecimal digits. */
export type ConversationId = string;

/** A user, named by the `sub` of his token. */
export type UserId = string;

/** A device's 16 bytes as 32 hexadecimal digits; empty for the clients that name none. */
export type DeviceId = string;

/** What a message carries. `unknown` is one that only newer clients know. */
export type Kind = "text" | "image" | "video" | "audio" | "document" | "ciphertext" | "system" | "unknown";

/** A kind that a client may send with bytes. */
export type DataKind = "image" | "video" | "audio" | "document" | "ciphertext";

export type Role = "none" | "member" | "admin" | "owner";

/** How far one of the user's own messages has come. */
export type Tick = "sent" | "delivered" | "read";

export type ConnectionStatus = "offline" | "connecting" | "syncing" | "online" | "stopped";

/** Whether the client is connected, and in step with the server. */
export interface Connection {
  readonly status: ConnectionStatus;
  /** While offline: when the next attempt is due, as `Date.now()` counts. */
  readonly retryAt?: number;
  /** Why there is no connection. Unless stopped, the client goes on trying. */
  readonly error?: Failure;
}

/**
 * Why something failed. The names of the server's codes are those of
 * docs/PROTOCOL.md; the others are this package's own.
 */
export type FailureCode =
  // The server's refusals.
  | "overloaded" | "stopping" | "unavailable" | "disk_full" | "retry_in_order" | "resend_unknown"
  | "not_member" | "not_allowed" | "too_large" | "bad_request" | "number_reused" | "already_exists"
  | "group_full" | "unknown_user" | "unsupported" | "bad_token" | "revoked"
  /** A refusal whose code this package does not know; the message names it. */
  | "refused"
  // The connection's.
  /** There is no connection, or it ended before it was one. */
  | "network"
  /** The answer was lost with the connection: it was done, or not. */
  | "interrupted"
  /** `token` failed, or gave something that is no token. */
  | "token"
  /** The server says that this client is broken or too old. */
  | "protocol"
  /** A newer client goes on with this one's outbox. */
  | "replaced"
  // The device's.
  /** The outbox holds 10,000 drafts or 64 MiB: nothing was stored. */
  | "outbox_full"
  /** The browser gives no more room: nothing was stored. */
  | "store_full"
  /** The store can not be read or written. */
  | "store_broken"
  /** The store is of another user than the token. */
  | "other_user"
  /** The store was erased, here or in another tab. */
  | "erased"
  /** The conversation or the draft is not held here. */
  | "unknown"
  /** The draft was sent, and is gone since the server was restored from a backup. */
  | "restored"
  /** The client was closed. */
  | "closed";

/** A failure as a value; `ParleyError` is the same, thrown. */
export interface Failure {
  readonly code: FailureCode;
  /** For a developer to read, not for users. */
  readonly message: string;
}

/** What a user shows of himself in a conversation, and how far he has read. */
export interface Member {
  readonly user: UserId;
  /** His profile's name; empty if he has none. */
  readonly name: string;
  /** A reference to his picture; empty if he has none. */
  readonly picture: string;
  readonly role: Role;
  readonly delivered: number;
  readonly read: number;
}

/** A conversation as a list shows it: a value of one moment. */
export interface Conversation {
  readonly id: ConversationId;
  readonly kind: "direct" | "group";
  readonly title: string;
  /** The other one of a direct conversation. */
  readonly peer?: Member;
  /** The last sequence that the device has heard of. */
  readonly last: number;
  readonly version: number;
  readonly changed: Date;
  /** The user's own role. */
  readonly role: Role;
  /** The user's own watermarks. */
  readonly delivered: number;
  readonly read: number;
  readonly unread: number;
  readonly markedUnread: boolean;
  /** Set while it is muted; a time in the far future is "for ever". */
  readonly mutedUntil?: Date;
  /** The newest message that the device holds, if it is the last one; see `Client.previews`. */
  readonly preview?: Message;
  /** The others, when the device knows all of them: always in a direct
   * conversation, in a group after `Client.members` or a message of one's own. */
  readonly members?: readonly Member[];
  /** The user belongs no longer; what is held stays readable. */
  readonly left: boolean;
  /** How far one of the user's own messages has come: what all the others have.
   * It never falls. `undefined` for a sequence that is not there. */
  tick(seq: number): Tick | undefined;
}

/** What a message of kind `system` tells. */
export interface SystemEvent {
  readonly type: "created" | "added" | "removed" | "left" | "role" | "renamed" | "unknown";
  readonly users: readonly UserId[];
  readonly role: Role;
  readonly title: string;
}

export interface Message {
  readonly type: "message";
  readonly conversation: ConversationId;
  readonly seq: number;
  /** Who sent it; empty for a user who was erased. */
  readonly from: UserId;
  /** By the server's clock. For showing, never for order: that is `seq`. */
  readonly at: Date;
  readonly kind: Kind;
  /** Of kind `text`. */
  readonly text?: string;
  /** Of every other kind that users send. */
  readonly data?: Uint8Array;
  /** Of kind `system`. */
  readonly event?: SystemEvent;
  /** With `number`, what the sender named it; a draft has the same. */
  readonly stream: bigint;
  readonly number: number;
  /** Whether the user himself sent it, from whatever device. */
  readonly own: boolean;
}

/** Sequences that are there, and have nothing to show to this user. */
export interface Withheld {
  readonly type: "withheld";
  readonly conversation: ConversationId;
  readonly from: number;
  readonly to: number;
}

export type Item = Message | Withheld;

/** Sequences from..to, both among them. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** A message on its way. */
export interface Draft {
  /** Names it for ever, in all tabs. */
  readonly id: string;
  readonly conversation: ConversationId;
  readonly kind: Kind;
  readonly text?: string;
  readonly data?: Uint8Array;
  /**
   * - `queued`: durable on this device;
   * - `sent`: durable at the server, as message `seq`;
   * - `failed`: refused for good, see `error`; `resend` and `discard` end that.
   */
  readonly status: "queued" | "sent" | "failed";
  readonly seq?: number;
  readonly error?: Failure;
  /** By this device's clock. */
  readonly createdAt: Date;
}

/** What to send: a text, or bytes of another kind. */
export type Body = string | { readonly kind: DataKind; readonly data: Uint8Array };

/** What the device holds of a range. */
export interface Held {
  readonly items: readonly Item[];
  readonly holes: readonly Range[];
}

/** Which part of a conversation `Client.history` reads: at most one of `before`,
 * `after` and `around`, which are sequences; without one, the newest. */
export interface HistoryQuery {
  readonly before?: number;
  readonly after?: number;
  readonly around?: number;
  /** How many sequences, at most 500. Default 50. */
  readonly limit?: number;
}

/** A stretch of a conversation without a gap. */
export interface Page {
  readonly items: readonly Item[];
  /** Every sequence of from..to is in `items`; `to` below `from` means none is. */
  readonly from: number;
  readonly to: number;
  /** There is more in front of it, or behind it. */
  readonly before: boolean;
  readonly after: boolean;
  /** The server could not be asked, so this is only what the device holds next to
   * the place asked for. Ask again when the connection is back. */
  readonly partial: boolean;
}

export interface Presence {
  readonly user: UserId;
  readonly online: boolean;
  /** While he is not online, where it is known. */
  readonly lastSeen?: Date;
  /** He does not show it. */
  readonly hidden: boolean;
}

/** Who may see whether a user is online: those who share a conversation with him, all, or nobody. */
export type Audience = "shared" | "everybody" | "nobody";

export interface Profile {
  readonly user: UserId;
  readonly name: string;
  readonly picture: string;
  /** In the user's own. */
  readonly lastSeenTo?: Audience;
}

/** One of the user's own devices. */
export interface Device {
  readonly id: DeviceId;
  readonly name: string;
  readonly platform: string;
  readonly created: Date;
  readonly lastSeen?: Date;
  readonly online: boolean;
  /** It is this one. */
  readonly current: boolean;
}

/** The events of a client, and what each says. */
export interface Events {
  /** The connection changed; see `Client.connection`. */
  connection: { readonly type: "connection"; readonly connection: Connection };
  /** The list shows something new of a conversation: `Client.conversation` has it. */
  conversation: { readonly type: "conversation"; readonly id: ConversationId };
  /** The next messages of a conversation, in order. They follow those of the last
   * event of this conversation without a gap, but for `hole`, which `history` reads. */
  messages: { readonly type: "messages"; readonly id: ConversationId; readonly items: readonly Item[]; readonly hole?: Range };
  /** A draft is new, was sent, has failed, or was discarded (`draft.status` is the
   * last one then). */
  draft: { readonly type: "draft"; readonly id: ConversationId; readonly draft: Draft; readonly discarded: boolean };
  presence: { readonly type: "presence"; readonly presence: Presence };
  /** Somebody writes, or has stopped. It ends by itself 6 seconds after the last. */
  typing: { readonly type: "typing"; readonly id: ConversationId; readonly user: UserId; readonly active: boolean };
  profile: { readonly type: "profile"; readonly profile: Profile };
  /** A conversation is no longer there for this user. */
  gone: { readonly type: "gone"; readonly id: ConversationId };
  /** The server was restored from a backup: messages from a sequence on are not
   * what was shown. What stands there now comes as `messages`; what this device had
   * sent and is lost comes back as failed drafts. */
  restored: { readonly type: "restored"; readonly id: ConversationId; readonly from: number };
  /** Something that the user should know, and the client goes on: the store was
   * cleared by somebody and is written anew (`store_broken`), or is full
   * (`store_full`), so that what was to be sent was not taken. */
  trouble: { readonly type: "trouble"; readonly error: Failure };
  /** This tab leads, or another does now. */
  leader: { readonly type: "leader"; readonly leader: boolean };
  /** The client gave up, and says why; it is of no further use. */
  stopped: { readonly type: "stopped"; readonly error: Failure };
}

export type EventName = keyof Events;
export type AnyEvent = Events[EventName];

/** What a WebSocket must be able to do: that of browsers, of Node 22, or of `ws`. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export interface WebSocketConstructor {
  new (url: string, protocols: string[]): WebSocketLike;
}

/** Options of `Client.open`. Only `token` must be set. */
export interface Options {
  /** Where the server is: ws://host:port/ws or wss://…. Default, in a page: /ws of
   * the page's own host. */
  url?: string;
  /** Returns the token to log in with; may fetch one. It is called before each
   * connection. An error is tried again later. */
  token: () => Promise<string> | string;
  /** How this device is named to its user. Default: what can be told of the
   * browser and its system. */
  device?: { readonly name?: string; readonly platform?: string };
  /** Default `proto`; `json` is for looking at. */
  subprotocol?: "proto" | "json";
  /** Keeps the outbox and what the device holds. Default: IndexedDB in a browser,
   * shared by its tabs; memory elsewhere, and where a browser has no IndexedDB or
   * no locks. */
  store?: import("./store.js").Store;
  /** Default `globalThis.WebSocket`. Node 20 has none: give it that of `ws`. */
  webSocket?: WebSocketConstructor;
  /** How many messages the device keeps; past them the oldest of the conversations
   * looked at longest ago are dropped, and read again when they are wanted.
   * Default 100,000. */
  messagesMax?: number;
  /** How many messages of a conversation are read after an absence so that events go on
   * without a hole. After more, the newest page comes, and a hole. Default 1,000. */
  catchUpMax?: number;
}

/** One user's device: an outbox that survives, a copy of the conversations, and a
 * connection that comes back by itself. Made by `Client.open`. */
export interface ClientApi {
  /** The user; empty if the token can not be read and no server was heard yet. */
  readonly user: UserId;
  /** This device's id. */
  readonly device: DeviceId;
  readonly connection: Connection;
  /** How many bytes of UTF-8 a text may have, as the server said last; its default before. */
  readonly bodyMax: number;
  /** Whether this tab holds the session that all tabs of the browser share. */
  readonly leader: boolean;
  /** Whether what is held survives the page: false with a memory store. */
  readonly durable: boolean;

  /** All conversations, the newest change first. The array is the same one until something changes. */
  conversations(): readonly Conversation[];
  conversation(id: ConversationId): Conversation | undefined;
  /** Has the device hold the last message of each of these, so that `preview` is
   * set; `conversation` events follow. For rows that come into view; the newest 50
   * are read unasked. Nothing is thrown. */
  previews(ids: readonly ConversationId[]): void;

  /** Puts a message into the outbox; resolves when it is durable there, connected or
   * not. Rejects with `outbox_full`, `too_large` or `store_full`: then nothing was
   * stored. */
  send(id: ConversationId, body: Body): Promise<Draft>;
  /** The drafts of a conversation that are queued, failed, or just sent and not yet
   * among its messages; the oldest first. */
  drafts(id: ConversationId): readonly Draft[];
  /** Puts a failed draft into the outbox anew, and resolves with what took its place. */
  resend(draft: Draft | string): Promise<Draft>;
  /** Forgets a failed draft. */
  discard(draft: Draft | string): Promise<void>;

  /** What the device holds of a range, without asking the server. `to` is by default the
   * last, `from` 1; of more than 1,000 sequences it looks at the last. */
  messages(id: ConversationId, range?: Partial<Range>): Promise<Held>;
  /** A stretch of the conversation; what the device lacks of it is read from the server. */
  history(id: ConversationId, query?: HistoryQuery): Promise<Page>;

  /** Says that the user has seen everything up to `seq` (default: all). Works offline. */
  markRead(id: ConversationId, seq?: number): Promise<void>;
  /** Mutes on all devices of the user; `null` ends it. */
  mute(id: ConversationId, until: Date | null): Promise<void>;
  markUnread(id: ConversationId, unread: boolean): Promise<void>;

  createDirect(user: UserId): Promise<Conversation>;
  createGroup(title: string, users: readonly UserId[]): Promise<Conversation>;
  rename(id: ConversationId, title: string): Promise<void>;
  addMembers(id: ConversationId, users: readonly UserId[]): Promise<void>;
  removeMembers(id: ConversationId, users: readonly UserId[]): Promise<void>;
  leave(id: ConversationId): Promise<void>;
  setRole(id: ConversationId, user: UserId, role: Exclude<Role, "none">): Promise<void>;
  /** Asks who belongs, the user himself among them. */
  members(id: ConversationId): Promise<readonly Member[]>;

  presence(users: readonly UserId[]): Promise<readonly Presence[]>;
  /** Names the conversations open in this tab, in place of those before; presence and
   * typing of their members follow as events. The tabs' sets are joined, at most 8. */
  watch(ids: readonly ConversationId[]): void;
  /** Says that the user writes (call it at each key), or has stopped. */
  typing(id: ConversationId, active: boolean): void;

  devices(): Promise<readonly Device[]>;
  revoke(device: DeviceId): Promise<void>;
  /** Profiles of users, from memory where they are known. */
  profiles(users: readonly UserId[]): Promise<readonly Profile[]>;
  setProfile(change: { readonly name?: string; readonly picture?: string; readonly lastSeenTo?: Audience }): Promise<Profile>;

  /** Calls `listener` at each event of a name; returns what ends that. */
  on<N extends EventName>(name: N, listener: (event: Events[N]) => void): () => void;
  /** All events from now on. One that is slow loses nothing: what it has not taken is merged. */
  events(): AsyncIterableIterator<AnyEvent>;

  /** Tries to connect at once, while it waits for `retryAt`; for a "try now" button. */
  reconnect(): void;
  /** Ends the session in this tab; what was not sent is sent after the next `open`. */
  close(): Promise<void>;
  /** Closes in all tabs, and deletes what the device holds: for logging out. */
  erase(): Promise<void>;
}
