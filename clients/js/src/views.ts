// What an app gets, made of what is stored. All of it is plain, so that it can be
// posted to another tab; `ConversationView` gets its method back there.

import type { Audience, Conversation, DataKind, Device, Draft, Failure, FailureCode, Item, Kind, Member, Message, Presence, Profile, Role, SystemEvent, Tick } from "./api.js";
import type { Conv } from "./core/conversation.js";
import { ParleyError } from "./errors.js";
import * as ranges from "./ranges.js";
import type { DraftRecord, MemberRecord, MessageRecord, Span } from "./store.js";
import { toHex } from "./wire/bytes.js";
import * as wire from "./wire/schema.js";

const kinds = names<Kind>(wire.KIND);
const roles = names<Role>(wire.ROLE);
const audiences = names<Audience>(wire.AUDIENCE);
const eventTypes = names<SystemEvent["type"]>(wire.EVENTTYPE);

/** The values of an enum as an app knows them: KIND_TEXT is "text". */
function names<T extends string>(place: number): T[] {
  return wire.enums[place]!.split(",").map((n) => n.slice(n.indexOf("_") + 1).toLowerCase().replace("unspecified", "unknown") as T);
}

/** The codes of refusals that the client itself goes by. */
export const RETRY_IN_ORDER = 1005;
export const RESEND_UNKNOWN = 1006;
export const TOO_LARGE = 2003;
export const NUMBER_REUSED = 2005;

/** Whether the same, asked again later, may be taken. */
export function isRetry(code: number): boolean {
  return code >= 1000 && code < 2000;
}

export function kindNumber(kind: DataKind): number {
  const n = kinds.indexOf(kind);
  if (n < wire.KIND_IMAGE || n > wire.KIND_CIPHERTEXT) throw new ParleyError("bad_request", `no client sends messages of kind ${kind}`);
  return n;
}

export const roleNumber = (role: Role): number => roles.indexOf(role);
export const audienceNumber = (audience: Audience): number => audiences.indexOf(audience);

/** A time of the wire, in microseconds. */
export const dateOf = (micros: number): Date => new Date(micros / 1000);

export function refusal(w: wire.Error): ParleyError {
  const text = w.message.replace(w.name + ": ", ""); // which often begins it
  return new ParleyError((w.name || "refused") as FailureCode, `${w.name || w.code}${text && ": " + text}`, { retryAfter: w.retryAfterMs });
}

export function failureOf(d: DraftRecord): Failure | undefined {
  if (d.status !== "failed") return undefined;
  if (d.code === 0) return { code: "restored", message: "the server was restored from a backup and has lost this message" };
  return { code: (d.name || "refused") as FailureCode, message: d.reason };
}

export function draftView(d: DraftRecord): Draft {
  const error = failureOf(d);
  return {
    id: d.id, conversation: d.conversation, kind: kinds[d.kind] ?? "unknown", status: d.status, createdAt: new Date(d.createdAt),
    ...(d.text !== undefined && { text: d.text }), ...(d.data !== undefined && { data: d.data }),
    ...(d.status === "sent" && { seq: d.seq }), ...(error && { error }),
  };
}

export function messageView(m: MessageRecord, user: string): Message {
  return {
    type: "message", conversation: m.conversation, seq: m.seq, from: m.from, at: dateOf(m.at), kind: kinds[m.kind] ?? "unknown",
    stream: m.stream, number: m.number, own: m.from !== "" && m.from === user,
    ...(m.text !== undefined && { text: m.text }), ...(m.data !== undefined && { data: m.data }),
    ...(m.event && { event: { type: eventTypes[m.event.type] ?? "unknown", users: m.event.users, role: roles[m.event.role] ?? "none", title: m.event.title } }),
  };
}

/** The items of a range that is held: where no message is, there is none to show. */
export function itemsOf(conversation: string, [from, to]: Span, messages: readonly MessageRecord[], user: string): Item[] {
  const items: Item[] = [];
  const withheld = ranges.missing(messages.map((m) => [m.seq, m.seq] as const), from, to);
  for (const m of messages) {
    if (withheld[0] !== undefined && withheld[0][0] < m.seq) items.push(gap(conversation, withheld.shift()!));
    items.push(messageView(m, user));
  }
  return items.concat(withheld.map((w) => gap(conversation, w)));
}

function gap(conversation: string, [from, to]: Span): Item {
  return { type: "withheld", conversation, from, to };
}

export function memberView(m: MemberRecord | wire.Member): Member {
  return { user: m.user, name: m.name, picture: m.picture, role: roles[m.role] ?? "none", delivered: m.delivered, read: m.read };
}

export function presenceView(p: wire.Presence): Presence {
  return { user: p.user, online: p.online, hidden: p.hidden, ...(p.lastSeen > 0 && { lastSeen: dateOf(p.lastSeen) }) };
}

export function profileView(p: wire.Profile, own: boolean): Profile {
  return { user: p.user, name: p.name, picture: p.picture, ...(own && { lastSeenTo: audiences[p.lastSeenTo] ?? "shared" }) };
}

export function deviceView(d: wire.Device): Device {
  return {
    id: toHex(d.device), name: d.name, platform: d.platform, created: dateOf(d.created), online: d.online, current: d.current,
    ...(d.lastSeen > 0 && { lastSeen: dateOf(d.lastSeen) }),
  };
}

/** A conversation as it is posted: without its method, and with what that needs. */
export interface ConversationData extends Omit<Conversation, "tick"> {
  readonly tickDelivered: number;
  readonly tickRead: number;
  /** The end of what was told of it. */
  readonly told: number;
}

export function conversationData(v: Conv, user: string): ConversationData {
  const r = v.r;
  const direct = r.kind === wire.CONVERSATION_DIRECT;
  if (v.memberViews === undefined) {
    const members = r.members.map(memberView);
    v.memberViews = {
      ...(direct && members[0] && { peer: members[0] }),
      ...((direct || r.membersKnown) && { members: members.filter((m) => m.role !== "none") }),
    };
  }
  const preview = r.preview?.seq === r.last ? r.preview : undefined;
  if (preview && v.previewView?.seq !== preview.seq) v.previewView = messageView(preview, user);
  return {
    id: r.id, kind: direct ? "direct" : "group", title: r.title, last: r.last, version: r.version, changed: dateOf(r.changed),
    role: roles[r.role] ?? "none", delivered: r.delivered, read: r.read,
    unread: r.left ? 0 : Math.max(r.ordinal - r.readOrdinal - (r.own - r.ownAtRead), 0),
    markedUnread: r.markedUnread, left: r.left, tickDelivered: r.tickDelivered, tickRead: r.tickRead, told: v.told,
    ...v.memberViews,
    ...(r.mutedUntil > 0 && { mutedUntil: dateOf(r.mutedUntil) }),
    ...(preview && v.previewView && { preview: v.previewView }),
  };
}

/** Whether an app would see no difference. */
export function sameData(a: ConversationData, b: ConversationData): boolean {
  const keys = Object.keys(a) as (keyof ConversationData)[];
  return keys.length === Object.keys(b).length && keys.every((k) => {
    const [x, y] = [a[k], b[k]];
    return x === y || x instanceof Date && y instanceof Date && x.getTime() === y.getTime();
  });
}

/** A conversation as the app gets it. */
export class ConversationView implements Conversation {
  declare readonly id: string;
  declare readonly kind: "direct" | "group";
  declare readonly title: string;
  declare readonly peer?: Member;
  declare readonly last: number;
  declare readonly version: number;
  declare readonly changed: Date;
  declare readonly role: Role;
  declare readonly delivered: number;
  declare readonly read: number;
  declare readonly unread: number;
  declare readonly markedUnread: boolean;
  declare readonly mutedUntil?: Date;
  declare readonly preview?: Message;
  declare readonly members?: readonly Member[];
  declare readonly left: boolean;
  private declare readonly tickDelivered: number;
  private declare readonly tickRead: number;
  declare readonly told: number;

  constructor(data: ConversationData) {
    Object.assign(this, data);
  }

  tick(seq: number): Tick | undefined {
    if (!(seq >= 1 && seq <= this.last)) return undefined;
    return seq <= this.tickRead ? "read" : seq <= this.tickDelivered ? "delivered" : "sent";
  }
}
