// Made from wire/parley.proto by `make generate`. Do not edit.

/** What a message carries. The server looks into none of them. */
export type Kind = number;
export const KIND_UNSPECIFIED = 0;
export const KIND_TEXT = 1;
export const KIND_IMAGE = 2;
export const KIND_VIDEO = 3;
export const KIND_AUDIO = 4;
export const KIND_DOCUMENT = 5;
export const KIND_CIPHERTEXT = 6;
export const KIND_SYSTEM = 7;

export type Role = number;
export const ROLE_NONE = 0;
export const ROLE_MEMBER = 1;
export const ROLE_ADMIN = 2;
export const ROLE_OWNER = 3;

/** Audience is who is shown something. */
export type Audience = number;
export const AUDIENCE_SHARED = 0;
export const AUDIENCE_EVERYBODY = 1;
export const AUDIENCE_NOBODY = 2;

export type EventType = number;
export const EVENT_UNSPECIFIED = 0;
export const EVENT_CREATED = 1;
export const EVENT_ADDED = 2;
export const EVENT_REMOVED = 3;
export const EVENT_LEFT = 4;
export const EVENT_ROLE = 5;
export const EVENT_RENAMED = 6;

export type ConversationKind = number;
export const CONVERSATION_UNSPECIFIED = 0;
export const CONVERSATION_DIRECT = 1;
export const CONVERSATION_GROUP = 2;

export type WithheldReason = number;
export const REASON_UNSPECIFIED = 0;
export const NOT_YOURS = 1;

/**
 * Request asks for one thing. Its id comes back in the reply; with id 0 only a
 * refusal is answered.
 */
export interface Request {
  id: number;
  send?: Send | undefined;
  acknowledge?: Acknowledge | undefined;
  history?: History | undefined;
  sync?: Sync | undefined;
  create?: Create | undefined;
  members?: ListMembers | undefined;
  changeMembers?: ChangeMembers | undefined;
  setRole?: SetRole | undefined;
  prefer?: Prefer | undefined;
  state?: GetState | undefined;
  findSent?: FindSent | undefined;
  rename?: Rename | undefined;
  presence?: GetPresence | undefined;
  watch?: Watch | undefined;
  typing?: Typing | undefined;
  devices?: ListDevices | undefined;
  revokeDevice?: RevokeDevice | undefined;
  profiles?: GetProfiles | undefined;
  setProfile?: SetProfile | undefined;
}

/**
 * Send sends a message. The reply is Sent.
 *
 * stream is the client's outbox, number its position there and in the
 * conversation: 1, 2, 3. What was not answered is sent again under the same
 * number, with the same body; it is stored once.
 */
export interface Send {
  conversation: Uint8Array;
  stream: bigint;
  number: number;
  kind: Kind;
  /** of KIND_TEXT */
  text: string;
  /** of every other kind */
  data: Uint8Array;
}

/** Acknowledge raises the user's watermarks. The reply is Done. */
export interface Acknowledge {
  marks: Mark[];
}

/**
 * Mark says: this device holds every message up to delivered, and the user has
 * seen every message up to read. Lower marks than before change nothing.
 */
export interface Mark {
  conversation: Uint8Array;
  delivered: number;
  read: number;
}

/**
 * History asks for messages from..to, or with backward for the last of them.
 * to = 0 is the newest. The reply is Page.
 */
export interface History {
  conversation: Uint8Array;
  from: number;
  to: number;
  backward: boolean;
  /** messages; 0 and more than 200 mean 200 */
  limit: number;
}

/**
 * Sync asks which conversations may have changed since a cursor; an empty one
 * asks for all. The reply is SyncPage.
 */
export interface Sync {
  cursor: Uint8Array;
  /** conversations; 0 and more than 200 mean 200 */
  limit: number;
}

/**
 * Create makes a conversation: the direct one with peer, or a group with a
 * title. Making a direct one twice finds it. The reply is State.
 */
export interface Create {
  peer: string;
  title: string;
  /** of a group, besides the maker */
  members: string[];
}

/** ListMembers asks who belongs to a conversation. The reply is Members. */
export interface ListMembers {
  conversation: Uint8Array;
}

/**
 * ChangeMembers adds and removes members of a group, in this order. Removing
 * oneself is leaving. The reply is Done.
 */
export interface ChangeMembers {
  conversation: Uint8Array;
  add: string[];
  remove: string[];
}

/** SetRole gives a member of a group a role. The reply is Done. */
export interface SetRole {
  conversation: Uint8Array;
  user: string;
  role: Role;
}

/** Prefer changes what the user alone sees of a conversation. The reply is Done. */
export interface Prefer {
  conversation: Uint8Array;
  /** 0 ends it */
  muteUntil?: number | undefined;
  markUnread?: boolean | undefined;
}

/** GetState asks for one conversation. The reply is State. */
export interface GetState {
  conversation: Uint8Array;
}

/**
 * FindSent looks for the user's own message of a stream and number, after
 * resend_unknown. The reply is Sent, or the same refusal: then it was never
 * stored.
 */
export interface FindSent {
  conversation: Uint8Array;
  stream: bigint;
  number: number;
}

/** Rename gives a group another title. The reply is Done. */
export interface Rename {
  conversation: Uint8Array;
  title: string;
}

/** GetPresence asks who of up to 200 users is online. The reply is Presences. */
export interface GetPresence {
  users: string[];
}

/**
 * Watch names the conversations that are open on the device, up to 8, in place
 * of those named before. The reply is Presences, of their members; from then on
 * Presences and Typing come for them, as hints: at once, and perhaps never. Of a
 * large conversation it is the first 200 members.
 */
export interface Watch {
  conversations: Uint8Array[];
}

/**
 * Typing says that the user writes, or that he stopped. It is told to who
 * watches the conversation, and kept nowhere. The reply is Done. As a hint from
 * the server it names the user.
 */
export interface Typing {
  conversation: Uint8Array;
  active: boolean;
  /** set by the server */
  user: string;
}

/** ListDevices asks for the user's own devices. The reply is Devices. */
export interface ListDevices {
}

/**
 * RevokeDevice ends the sockets of one of the user's devices, and keeps it and
 * the token that it used out. An empty device stands for the clients that name
 * none. The reply is Done.
 */
export interface RevokeDevice {
  device: Uint8Array;
}

/** GetProfiles asks for the profiles of up to 200 users. The reply is Profiles. */
export interface GetProfiles {
  users: string[];
}

/**
 * SetProfile changes what others see of the user. The reply is Profiles, with
 * his own.
 */
export interface SetProfile {
  /** up to 100 bytes; empty is none */
  name?: string | undefined;
  /** a reference of up to 512 bytes; empty is none */
  picture?: string | undefined;
  lastSeenTo?: Audience | undefined;
}

/**
 * ServerMessage is a reply, with the id of its request in reply_to; or one of
 * the messages that come unasked, with reply_to 0. Of those the pushes
 * (message, marks, state) are counted; see Check. Hints (presences, typing,
 * profiles) are not: what one said is asked for again when it matters.
 */
export interface ServerMessage {
  replyTo: number;
  error?: Error | undefined;
  sent?: Sent | undefined;
  done?: Done | undefined;
  page?: Page | undefined;
  syncPage?: SyncPage | undefined;
  /** also a push: what the user's list shows has changed */
  state?: State | undefined;
  members?: Members | undefined;
  /** also a hint */
  presences?: Presences | undefined;
  devices?: Devices | undefined;
  /** also a hint */
  profiles?: Profiles | undefined;
  message?: Message | undefined;
  marks?: MarksChanged | undefined;
  typing?: Typing | undefined;
  welcome?: Welcome | undefined;
  check?: Check | undefined;
  goingAway?: GoingAway | undefined;
  tokenExpiring?: TokenExpiring | undefined;
}

/**
 * Error refuses a request. docs/PROTOCOL.md lists the codes: 1000 and above say
 * retry, 2000 and above fix the request, 3000 and above log in again.
 */
export interface Error {
  code: number;
  /** of the code */
  name: string;
  /** for a developer to read */
  message: string;
  /** with retry_in_order: the number to go on with */
  expected: number;
  retryAfterMs: number;
}

/**
 * Sent says that a message is on stable storage under this sequence. A version
 * of 0 says that the receipt is that of an earlier send.
 */
export interface Sent {
  seq: number;
  version: number;
  at: number;
}

/** Done says that the change is on stable storage. */
export interface Done {
}

/** Message is one message of a conversation. */
export interface Message {
  /** in pushes; a page names it once */
  conversation: Uint8Array;
  seq: number;
  /** messages up to this one that count as unread */
  ordinal: number;
  /** in pushes: of the conversation, with this message */
  version: number;
  /** empty for a user who was erased */
  from: string;
  stream: bigint;
  number: number;
  kind: Kind;
  at: number;
  text: string;
  data: Uint8Array;
  /** of KIND_SYSTEM */
  event?: Event | undefined;
}

/** Event is what a system message tells. */
export interface Event {
  type: EventType;
  users: string[];
  role: Role;
  title: string;
}

/** MarksChanged says that another member's watermarks rose. */
export interface MarksChanged {
  conversation: Uint8Array;
  version: number;
  user: string;
  delivered: number;
  read: number;
}

/**
 * Page is a stretch of a conversation without a gap: every sequence of from..to
 * is in one of items, in order.
 */
export interface Page {
  conversation: Uint8Array;
  /** of the conversation, when the page was read */
  last: number;
  version: number;
  from: number;
  /** below from: the page is empty */
  to: number;
  items: Item[];
}

/** Item is a message, or a range of sequences that has none to show. */
export interface Item {
  message?: Message | undefined;
  withheld?: Withheld | undefined;
}

export interface Withheld {
  from: number;
  to: number;
  reason: WithheldReason;
}

/** State is what a list shows of a conversation, for one user. */
export interface State {
  conversation: Uint8Array;
  kind: ConversationKind;
  title: string;
  /** its last sequence */
  last: number;
  version: number;
  changed: number;
  role: Role;
  /** the user's own watermarks */
  delivered: number;
  read: number;
  /** (ordinal - read_ordinal) - (own - own_at_read) */
  unread: number;
  ordinal: number;
  readOrdinal: number;
  own: number;
  ownAtRead: number;
  markedUnread: boolean;
  mutedUntil: number;
  /** the other one of a direct conversation */
  peer?: Member | undefined;
  /** the user belongs no longer; only conversation, version and changed are set */
  left: boolean;
}

/** Member is what members see of each other. */
export interface Member {
  user: string;
  role: Role;
  delivered: number;
  read: number;
  /** of his profile */
  name: string;
  picture: string;
}

export interface Members {
  members: Member[];
}

/** Presence says whether a user is online. */
export interface Presence {
  user: string;
  online: boolean;
  /** while he is not online; 0 where it is not known */
  lastSeen: number;
  /** he does not show it: nothing else is set */
  hidden: boolean;
}

export interface Presences {
  presences: Presence[];
  /** not everybody could be asked after: who is not online here may be */
  degraded: boolean;
}

/** Device is one of the user's own. */
export interface Device {
  /** empty for the clients that name none */
  device: Uint8Array;
  name: string;
  platform: string;
  created: number;
  lastSeen: number;
  online: boolean;
  /** this session's */
  current: boolean;
}

export interface Devices {
  devices: Device[];
}

/** Profile is what a user shows of himself. */
export interface Profile {
  user: string;
  name: string;
  picture: string;
  /** in one's own */
  lastSeenTo: Audience;
}

export interface Profiles {
  profiles: Profile[];
}

/**
 * SyncPage lists conversations that may have changed, newest first. Applying a
 * page twice, or pages in any order, gives the same.
 */
export interface SyncPage {
  states: State[];
  /** of the next page if more, else of the next sync */
  cursor: Uint8Array;
  more: boolean;
  /** all there is was listed; what the device holds besides is gone */
  authoritative: boolean;
  /** some could not be asked: keep what is shown of others */
  unavailable: boolean;
  incarnation: bigint;
}

/**
 * Welcome opens a session. Everything in it up to its end is of this
 * incarnation: where a client holds another, the store was restored, and what
 * it holds beyond the next sync answer's heads is no longer there.
 */
export interface Welcome {
  user: string;
  /** a fresh outbox, for a client that has none */
  stream: bigint;
  incarnation: bigint;
  /** a Check comes at least this often */
  heartbeatMs: number;
  /** bytes */
  bodyMax: number;
  /** bytes of one WebSocket message to the server */
  frameMax: number;
  /** unanswered at once */
  requestsMax: number;
  /** as the client named it */
  device: Uint8Array;
  /** 0 is never */
  tokenExpiresInMs: number;
}

/**
 * Check says how many pushes the server has had for this session, sent or not.
 * A client that counted fewer missed some, and syncs.
 */
export interface Check {
  pushes: number;
}

/** GoingAway comes before the server closes a session in good order. */
export interface GoingAway {
  retryAfterMs: number;
}

/**
 * TokenExpiring comes a minute before the server closes the session because its
 * token has expired, or at once if less is left.
 */
export interface TokenExpiring {
  expiresInMs: number;
}

/** The messages, by name. */
export interface Messages {
  Request: Request;
  Send: Send;
  Acknowledge: Acknowledge;
  Mark: Mark;
  History: History;
  Sync: Sync;
  Create: Create;
  ListMembers: ListMembers;
  ChangeMembers: ChangeMembers;
  SetRole: SetRole;
  Prefer: Prefer;
  GetState: GetState;
  FindSent: FindSent;
  Rename: Rename;
  GetPresence: GetPresence;
  Watch: Watch;
  Typing: Typing;
  ListDevices: ListDevices;
  RevokeDevice: RevokeDevice;
  GetProfiles: GetProfiles;
  SetProfile: SetProfile;
  ServerMessage: ServerMessage;
  Error: Error;
  Sent: Sent;
  Done: Done;
  Message: Message;
  Event: Event;
  MarksChanged: MarksChanged;
  Page: Page;
  Item: Item;
  Withheld: Withheld;
  State: State;
  Member: Member;
  Members: Members;
  Presence: Presence;
  Presences: Presences;
  Device: Device;
  Devices: Devices;
  Profile: Profile;
  Profiles: Profiles;
  SyncPage: SyncPage;
  Welcome: Welcome;
  Check: Check;
  GoingAway: GoingAway;
  TokenExpiring: TokenExpiring;
}

/** The values of each enum by number, as JSON names them. */
export const enums: Readonly<Record<string, string>> = {
  Kind: "KIND_UNSPECIFIED,KIND_TEXT,KIND_IMAGE,KIND_VIDEO,KIND_AUDIO,KIND_DOCUMENT,KIND_CIPHERTEXT,KIND_SYSTEM",
  Role: "ROLE_NONE,ROLE_MEMBER,ROLE_ADMIN,ROLE_OWNER",
  Audience: "AUDIENCE_SHARED,AUDIENCE_EVERYBODY,AUDIENCE_NOBODY",
  EventType: "EVENT_UNSPECIFIED,EVENT_CREATED,EVENT_ADDED,EVENT_REMOVED,EVENT_LEFT,EVENT_ROLE,EVENT_RENAMED",
  ConversationKind: "CONVERSATION_UNSPECIFIED,CONVERSATION_DIRECT,CONVERSATION_GROUP",
  WithheldReason: "REASON_UNSPECIFIED,NOT_YOURS",
};

/** The fields of each message: number, name, and type; see codec.ts. */
export const messages: Readonly<Record<keyof Messages, string>> = {
  Request: "1 id u,2 send ?Send,3 acknowledge ?Acknowledge,4 history ?History,5 sync ?Sync,6 create ?Create,7 members ?ListMembers,8 changeMembers ?ChangeMembers,9 setRole ?SetRole,10 prefer ?Prefer,11 state ?GetState,12 findSent ?FindSent,13 rename ?Rename,14 presence ?GetPresence,15 watch ?Watch,16 typing ?Typing,17 devices ?ListDevices,18 revokeDevice ?RevokeDevice,19 profiles ?GetProfiles,20 setProfile ?SetProfile",
  Send: "1 conversation y,2 stream f,3 number u,4 kind Kind,5 text s,6 data y",
  Acknowledge: "1 marks *Mark",
  Mark: "1 conversation y,2 delivered l,3 read l",
  History: "1 conversation y,2 from l,3 to l,4 backward b,5 limit u",
  Sync: "1 cursor y,2 limit u",
  Create: "1 peer s,2 title s,3 members *s",
  ListMembers: "1 conversation y",
  ChangeMembers: "1 conversation y,2 add *s,3 remove *s",
  SetRole: "1 conversation y,2 user s,3 role Role",
  Prefer: "1 conversation y,2 muteUntil ?l,3 markUnread ?b",
  GetState: "1 conversation y",
  FindSent: "1 conversation y,2 stream f,3 number u",
  Rename: "1 conversation y,2 title s",
  GetPresence: "1 users *s",
  Watch: "1 conversations *y",
  Typing: "1 conversation y,2 active b,3 user s",
  ListDevices: "",
  RevokeDevice: "1 device y",
  GetProfiles: "1 users *s",
  SetProfile: "1 name ?s,2 picture ?s,3 lastSeenTo ?Audience",
  ServerMessage: "1 replyTo u,2 error ?Error,3 sent ?Sent,4 done ?Done,5 page ?Page,6 syncPage ?SyncPage,7 state ?State,8 members ?Members,9 presences ?Presences,15 devices ?Devices,16 profiles ?Profiles,10 message ?Message,11 marks ?MarksChanged,17 typing ?Typing,12 welcome ?Welcome,13 check ?Check,14 goingAway ?GoingAway,18 tokenExpiring ?TokenExpiring",
  Error: "1 code u,2 name s,3 message s,4 expected u,5 retryAfterMs u",
  Sent: "1 seq l,2 version l,3 at l",
  Done: "",
  Message: "1 conversation y,2 seq l,3 ordinal l,4 version l,5 from s,6 stream f,7 number u,8 kind Kind,9 at l,10 text s,11 data y,12 event ?Event",
  Event: "1 type EventType,2 users *s,3 role Role,4 title s",
  MarksChanged: "1 conversation y,2 version l,3 user s,4 delivered l,5 read l",
  Page: "1 conversation y,2 last l,3 version l,4 from l,5 to l,6 items *Item",
  Item: "1 message ?Message,2 withheld ?Withheld",
  Withheld: "1 from l,2 to l,3 reason WithheldReason",
  State: "1 conversation y,2 kind ConversationKind,3 title s,4 last l,5 version l,6 changed l,7 role Role,8 delivered l,9 read l,10 unread l,11 ordinal l,12 readOrdinal l,13 own l,14 ownAtRead l,15 markedUnread b,16 mutedUntil l,17 peer ?Member,18 left b",
  Member: "1 user s,2 role Role,3 delivered l,4 read l,5 name s,6 picture s",
  Members: "1 members *Member",
  Presence: "1 user s,2 online b,3 lastSeen l,4 hidden b",
  Presences: "1 presences *Presence,2 degraded b",
  Device: "1 device y,2 name s,3 platform s,4 created l,5 lastSeen l,6 online b,7 current b",
  Devices: "1 devices *Device",
  Profile: "1 user s,2 name s,3 picture s,4 lastSeenTo Audience",
  Profiles: "1 profiles *Profile",
  SyncPage: "1 states *State,2 cursor y,3 more b,4 authoritative b,5 unavailable b,6 incarnation f",
  Welcome: "1 user s,2 stream f,3 incarnation f,4 heartbeatMs u,5 bodyMax u,6 frameMax u,7 requestsMax u,8 device y,9 tokenExpiresInMs l",
  Check: "1 pushes l",
  GoingAway: "1 retryAfterMs u",
  TokenExpiring: "1 expiresInMs u",
};
