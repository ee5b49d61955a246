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

/** The values of each enum by number, as JSON names them. */
export const enums: readonly string[] = [
  "KIND_UNSPECIFIED,KIND_TEXT,KIND_IMAGE,KIND_VIDEO,KIND_AUDIO,KIND_DOCUMENT,KIND_CIPHERTEXT,KIND_SYSTEM", // 0 Kind
  "ROLE_NONE,ROLE_MEMBER,ROLE_ADMIN,ROLE_OWNER", // 1 Role
  "AUDIENCE_SHARED,AUDIENCE_EVERYBODY,AUDIENCE_NOBODY", // 2 Audience
  "EVENT_UNSPECIFIED,EVENT_CREATED,EVENT_ADDED,EVENT_REMOVED,EVENT_LEFT,EVENT_ROLE,EVENT_RENAMED", // 3 EventType
  "CONVERSATION_UNSPECIFIED,CONVERSATION_DIRECT,CONVERSATION_GROUP", // 4 ConversationKind
  "REASON_UNSPECIFIED,NOT_YOURS", // 5 WithheldReason
];
export const KIND = 0;
export const ROLE = 1;
export const AUDIENCE = 2;
export const EVENTTYPE = 3;
export const CONVERSATIONKIND = 4;
export const WITHHELDREASON = 5;

/** The fields of each message; see codec.ts. */
export const messages: readonly string[] = [
  "id u,send ?m1,acknowledge ?m2,history ?m4,sync ?m5,create ?m6,members ?m7,changeMembers ?m8,setRole ?m9,prefer ?m10,state ?m11,findSent ?m12,rename ?m13,presence ?m14,watch ?m15,typing ?m16,devices ?m17,revokeDevice ?m18,profiles ?m19,setProfile ?m20", // 0 Request
  "conversation y,stream f,number u,kind e0,text s,data y", // 1 Send
  "marks *m3", // 2 Acknowledge
  "conversation y,delivered l,read l", // 3 Mark
  "conversation y,from l,to l,backward b,limit u", // 4 History
  "cursor y,limit u", // 5 Sync
  "peer s,title s,members *s", // 6 Create
  "conversation y", // 7 ListMembers
  "conversation y,add *s,remove *s", // 8 ChangeMembers
  "conversation y,user s,role e1", // 9 SetRole
  "conversation y,muteUntil ?l,markUnread ?b", // 10 Prefer
  "conversation y", // 11 GetState
  "conversation y,stream f,number u", // 12 FindSent
  "conversation y,title s", // 13 Rename
  "users *s", // 14 GetPresence
  "conversations *y", // 15 Watch
  "conversation y,active b,user s", // 16 Typing
  "", // 17 ListDevices
  "device y", // 18 RevokeDevice
  "users *s", // 19 GetProfiles
  "name ?s,picture ?s,lastSeenTo ?e2", // 20 SetProfile
  "replyTo u,error ?m22,sent ?m23,done ?m24,page ?m28,syncPage ?m40,state ?m31,members ?m33,presences ?m35,15 devices ?m37,profiles ?m39,10 message ?m25,marks ?m27,17 typing ?m16,12 welcome ?m41,check ?m42,goingAway ?m43,18 tokenExpiring ?m44", // 21 ServerMessage
  "code u,name s,message s,expected u,retryAfterMs u", // 22 Error
  "seq l,version l,at l", // 23 Sent
  "", // 24 Done
  "conversation y,seq l,ordinal l,version l,from s,stream f,number u,kind e0,at l,text s,data y,event ?m26", // 25 Message
  "type e3,users *s,role e1,title s", // 26 Event
  "conversation y,version l,user s,delivered l,read l", // 27 MarksChanged
  "conversation y,last l,version l,from l,to l,items *m29", // 28 Page
  "message ?m25,withheld ?m30", // 29 Item
  "from l,to l,reason e5", // 30 Withheld
  "conversation y,kind e4,title s,last l,version l,changed l,role e1,delivered l,read l,unread l,ordinal l,readOrdinal l,own l,ownAtRead l,markedUnread b,mutedUntil l,peer ?m32,left b", // 31 State
  "user s,role e1,delivered l,read l,name s,picture s", // 32 Member
  "members *m32", // 33 Members
  "user s,online b,lastSeen l,hidden b", // 34 Presence
  "presences *m34,degraded b", // 35 Presences
  "device y,name s,platform s,created l,lastSeen l,online b,current b", // 36 Device
  "devices *m36", // 37 Devices
  "user s,name s,picture s,lastSeenTo e2", // 38 Profile
  "profiles *m38", // 39 Profiles
  "states *m31,cursor y,more b,authoritative b,unavailable b,incarnation f", // 40 SyncPage
  "user s,stream f,incarnation f,heartbeatMs u,bodyMax u,frameMax u,requestsMax u,device y,tokenExpiresInMs l", // 41 Welcome
  "pushes l", // 42 Check
  "retryAfterMs u", // 43 GoingAway
  "expiresInMs u", // 44 TokenExpiring
];

/** The messages that stand in no other, by their place above. */
export const roots = {
  Request: 0,
  ServerMessage: 21,
} as const;

export interface Roots {
  Request: Request;
  ServerMessage: ServerMessage;
}
