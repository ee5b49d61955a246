// What a device must not lose: its outbox, and what it holds of its conversations.
// Everything here is plain: it can be put into IndexedDB, or posted to another tab.

/** Sequences from..to, both among them. */
export type Span = readonly [from: number, to: number];

/** A message as it is kept. Times are microseconds since 1970, kinds and roles the numbers of the wire. */
export interface MessageRecord {
  readonly conversation: string;
  readonly seq: number;
  readonly from: string;
  readonly at: number;
  readonly kind: number;
  readonly text?: string;
  readonly data?: Uint8Array;
  readonly event?: { readonly type: number; readonly users: readonly string[]; readonly role: number; readonly title: string };
  readonly stream: bigint;
  readonly number: number;
}

export interface MemberRecord {
  user: string;
  name: string;
  picture: string;
  /** 0 for one who is no member any longer. */
  role: number;
  delivered: number;
  read: number;
}

/** What a device knows of a conversation besides its messages. */
export interface ConversationRecord {
  readonly id: string;
  kind: number;
  title: string;
  changed: number;
  role: number;
  markedUnread: boolean;
  mutedUntil: number;
  left: boolean;

  /** The last sequence heard of, what is held, and the end of what was told. */
  last: number;
  held: Span[];
  tail: number;

  /** The user's own watermarks, and those of them that the server has confirmed. */
  delivered: number;
  read: number;
  confirmedDelivered: number;
  confirmedRead: number;

  /** The others, by name; whether all of them are known; what all of them have. */
  members: MemberRecord[];
  membersKnown: boolean;
  tickDelivered: number;
  tickRead: number;

  /** The counts from which unread follows, as of the sequence `counted`. */
  ordinal: number;
  readOrdinal: number;
  own: number;
  ownAtRead: number;
  counted: number;

  /** Of the newest state, and of the store that it came from. `doubt` was held of an
   * earlier incarnation and is not compared yet. */
  version: number;
  incarnation: bigint;
  doubt: Span[];

  /** The newest message held. */
  preview?: MessageRecord | undefined;
}

/** The outbox of one conversation: its stream, and the number of the next draft. */
export interface LaneRecord {
  readonly conversation: string;
  /** 0: the next login gives one. */
  stream: bigint;
  next: number;
  /** A number before `next` was freed by a refusal and is not used again yet, so the
   * drafts behind it stand under numbers that the server will not take. */
  broken: boolean;
}

export interface DraftRecord {
  readonly id: string;
  /** Drafts of one conversation are sent in this order. */
  order: number;
  readonly conversation: string;
  stream: bigint;
  number: number;
  readonly kind: number;
  text?: string | undefined;
  data?: Uint8Array | undefined;
  status: "queued" | "sent" | "failed";
  seq: number;
  /** Of a failed one: the server's code, its name, and an explanation; 0 for one that a
   * restore took. */
  code: number;
  name: string;
  reason: string;
  /** Milliseconds since 1970, by this device's clock: for showing only. */
  readonly createdAt: number;
}

export interface MetaRecord {
  user: string;
  /** This device's id, 32 hexadecimal digits. */
  readonly device: string;
  incarnation: bigint;
  /** The incarnation is new, and the first sync in it is not complete. */
  restoring: boolean;
  cursor: Uint8Array;
  /** Given to conversations that begin; and all that this device has used, the newest last. */
  stream: bigint;
  streams: bigint[];
  nextOrder: number;
  /** What the server takes in one message; 0 before it said. */
  bodyMax: number;
}

export interface Saved {
  /** Absent in a store that was never used. */
  readonly meta?: MetaRecord | undefined;
  readonly conversations: ConversationRecord[];
  readonly lanes: LaneRecord[];
  readonly drafts: DraftRecord[];
}

/** What is applied to a store as one. What is gone or cut is taken away before messages are put. */
export interface Changes {
  meta?: MetaRecord | undefined;
  conversations: ConversationRecord[];
  lanes: LaneRecord[];
  drafts: DraftRecord[];
  /** Drafts, by id. */
  dropped: string[];
  /** Conversations, with their messages. */
  gone: string[];
  cut: { readonly conversation: string; readonly from: number; readonly to: number }[];
  messages: MessageRecord[];
}

/** Keeps what a device must not lose. A client is its only user. */
export interface Store {
  /** Returns everything but the messages. What it returns is the client's to change. */
  load(): Promise<Saved>;
  /**
   * Makes all changes, or none. When it resolves they are kept as well as the store
   * can. It rejects with a `StoreError`; with one of code `store_full`, nothing was
   * changed. It must have copied what it was given when it returns its promise.
   */
  apply(changes: Changes): Promise<void>;
  /** The messages of a range that are there, in order, the first `max` of them. */
  messages(conversation: string, from: number, to: number, max: number): Promise<MessageRecord[]>;
  close(): Promise<void>;
  /** Deletes everything, and closes. */
  erase(): Promise<void>;
}

/** Whether there is nothing to apply. */
export function isEmpty(c: Changes): boolean {
  return Object.values(c).every((v: MetaRecord | undefined | unknown[]) => Array.isArray(v) ? v.length === 0 : v === undefined);
}

/** Changes to be filled. */
export function noChanges(): Changes {
  return { conversations: [], lanes: [], drafts: [], dropped: [], gone: [], cut: [], messages: [] };
}
