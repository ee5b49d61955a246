// What comes: order, gaps, counts, ticks, sync, history, and a server that went back in time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore, ParleyError, type AnyEvent, type Client, type Item } from "../src/index.js";
import { fromHex } from "../src/wire/bytes.js";
import type { Init } from "../src/wire/codec.js";
import * as wire from "../src/wire/schema.js";
import { message, next, pageOf, record, refuse, room, sent, sleep, state, textsOf, until, withFake, type FakeConnection } from "./fake.js";

const seqs = (items: readonly Item[]): (number | string)[] => items.map((i) => (i.type === "message" ? i.seq : `${i.from}-${i.to}`));
const told = (events: readonly AnyEvent[]): (number | string)[] => events.flatMap((e) => (e.type === "messages" ? seqs(e.items) : []));

/** Answers reads of a conversation whose messages all exist. */
async function serve(s: FakeConnection, last: number, times: number, more: { n?: number; text?: string } = {}): Promise<void> {
  for (let i = 0; i < times; i++) {
    const r = await s.request();
    const h = r.history!;
    const to = Math.min(h.to || last, last);
    const from = h.backward ? Math.max(h.from || 1, to - h.limit + 1) : h.from;
    s.reply(r, pageOf(from, h.backward ? to : Math.min(to, from + h.limit - 1), last, more));
  }
}

test("a gap is read before what is behind it is told", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  const events = record(c, "messages");
  s.say({ message: message(1) });
  await until("first", () => told(events).length === 1);
  s.say({ message: message(4) });
  const r = await s.request();
  assert.deepEqual([r.history!.from, r.history!.to], [2, 3]);
  assert.deepEqual(told(events), [1]);
  s.reply(r, pageOf(2, 3, 4));
  await until("all", () => told(events).length === 4);
  assert.deepEqual(told(events), [1, 2, 3, 4]);
  assert.equal(c.conversation(room())!.unread, 4);
  assert.equal(c.conversation(room())!.preview!.text, "m4");
}));

test("pushes out of order and doubled change nothing in the end", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  const events = record(c, "messages");
  for (const seq of [3, 1, 3, 2, 1]) s.say({ message: message(seq) });
  await until("all", () => told(events).length === 3);
  assert.deepEqual(told(events), [1, 2, 3]);
  assert.equal(c.conversation(room())!.unread, 3);
}));

test("a check that counts more than came leads to a sync", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  s.auto.sync = false;
  s.say({ message: message(1) }, { check: { pushes: 1 } });
  await s.silent(30);
  s.say({ presences: {} }, { typing: { conversation: fromHex(room()), user: "bob" } }, { check: { pushes: 1 } }); // hints are not counted
  await s.silent(30);
  s.say({ check: { pushes: 2 } });
  const r = await s.request();
  assert.deepEqual([...r.sync!.cursor], [1]);
  s.reply(r, s.page([state({ last: 2, version: 3, ordinal: 2 })]));
  const h = await s.request();
  assert.equal(h.history!.from, 2);
  s.say({ check: { pushes: 2 } });
  await s.silent(30);
  assert.equal(c.conversation(room())!.unread, 2);
}));

test("delivered is the contiguous part alone, and is told at most once a second", withFake(async (fake) => {
  const { s } = await fake.online([state()]);
  const marks = () => s.seen.flatMap((r) => r.acknowledge?.marks.map((m) => m.delivered) ?? []);
  s.say({ message: message(1) });
  await until("first", () => marks().length === 1);
  const at = performance.now();
  s.say({ message: message(3) });
  const gap = await s.request();
  for (let seq = 4; seq < 10; seq++) s.say({ message: message(seq) });
  await sleep(1_200);
  assert.deepEqual(marks(), [1]);
  s.reply(gap, pageOf(2, 2, 9));
  await until("second", () => marks().length === 2);
  assert.deepEqual(marks(), [1, 9]);
  for (let seq = 10; seq < 20; seq++) {
    s.say({ message: message(seq) });
    await sleep(20);
  }
  await sleep(1_100);
  assert.ok(marks().length <= 2 + (performance.now() - at) / 1_000, String(marks()));
  assert.equal(marks().at(-1), 19);
}));

test("what the client wrote itself is not acknowledged", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  await c.send(room(), "one");
  const [r] = await s.sends(1);
  s.reply(r!, sent(1));
  await sleep(50);
  assert.equal(s.seen.filter((r) => r.acknowledge).length, 0);
}));

test("ticks and watermarks never fall, however states and marks come", withFake(async (fake) => {
  const { c, s } = await fake.online([state({ last: 5, version: 9, read: 2, delivered: 5, ordinal: 5, readOrdinal: 2 })]);
  s.say({ marks: { conversation: fromHex(room()), version: 12, user: "bob", delivered: 5, read: 4 } });
  await until("tick", () => c.conversation(room())!.tick(4) === "read");
  assert.equal(c.conversation(room())!.tick(5), "delivered");
  s.say({ marks: { conversation: fromHex(room()), version: 11, user: "bob", delivered: 3, read: 1 } });
  s.say({ state: state({ last: 4, version: 8, read: 1, title: "old", ordinal: 4, readOrdinal: 1, peer: { user: "bob", role: 1, delivered: 2 } }) });
  await sleep(30);
  const v = c.conversation(room())!;
  assert.deepEqual([v.tick(4), v.tick(5), v.read, v.title, v.last, v.version], ["read", "delivered", 2, "", 5, 9]);
  s.say({ state: state({ last: 5, version: 20, title: "new", read: 5, delivered: 5, ordinal: 5, readOrdinal: 5, markedUnread: true, mutedUntil: 9e15 }) });
  await until("new", () => c.conversation(room())!.title === "new");
  const w = c.conversation(room())!;
  assert.deepEqual([w.unread, w.markedUnread, w.mutedUntil!.getTime()], [0, true, 9e12]);
}));

test("read works offline, is counted here, and told later", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  s.say(...[1, 2, 3].map((seq) => ({ message: message(seq) })));
  await until("unread", () => c.conversation(room())!.unread === 3);
  s.cut();
  await until("offline", () => c.connection.status !== "online");
  await c.markRead(room(), 2);
  assert.equal(c.conversation(room())!.unread, 1);
  await c.markRead(room(), 1); // lower ones change nothing
  assert.equal(c.conversation(room())!.read, 2);
  const s2 = await fake.accept();
  s2.states = [state({ last: 3, version: 4, ordinal: 3 })];
  s2.welcome();
  await until("told", () => s2.seen.some((r) => r.acknowledge?.marks.some((m) => m.read === 2 && m.delivered === 3)));
  assert.equal(c.conversation(room())!.unread, 1);
}));

test("an absence is caught up on; after a long one a hole stays, and is named", withFake(async (fake) => {
  const { c, s } = await fake.online([state({ last: 10, version: 9, delivered: 10, ordinal: 10 })], { catchUpMax: 300 });
  const events = record(c, "messages");
  s.cut();
  const s2 = await fake.accept();
  s2.states = [state({ last: 250, version: 250, delivered: 10, ordinal: 250 })];
  s2.welcome();
  await serve(s2, 250, 2);
  await until("caught up", () => told(events).length === 240);
  s2.cut();
  const s3 = await fake.accept();
  s3.states = [state({ last: 2_000, version: 2_000, delivered: 10, ordinal: 2_000 })];
  s3.welcome();
  await serve(s3, 2_000, 1);
  const e = await next(c, "messages");
  assert.deepEqual([e.hole, seqs(e.items).at(0), seqs(e.items).at(-1)], [{ from: 251, to: 1_800 }, 1_801, 2_000]);
  await s3.silent(50);
}));

test("a new device begins with the list: what others have had is not new", withFake(async (fake) => {
  const { c, s } = await fake.online([state({ last: 500, delivered: 500, read: 400, ordinal: 500, readOrdinal: 400 })]);
  await s.silent(50);
  assert.equal(c.conversation(room())!.unread, 100);
  assert.ok(s.seen.some((r) => r.history?.limit === 1), "the preview is read");
}));

test("the list shows the last message of what was read elsewhere", withFake(async (fake) => {
  const { c, s } = await fake.online([state({ last: 5, delivered: 5, read: 5, ordinal: 5, readOrdinal: 5 })]);
  s.auto.previews = false;
  c.previews([room()]);
  const r = await s.request();
  assert.deepEqual([r.history!.to, r.history!.backward, r.history!.limit], [5, true, 1]);
  s.reply(r, pageOf(5, 5, 5));
  await until("shown", () => c.conversation(room())!.preview?.seq === 5);
  assert.equal(c.conversation(room())!.unread, 0);
}));

test("history reads what is missing, from the side that is wanted, and names what is withheld", withFake(async (fake) => {
  const { c, s } = await fake.online([state({ last: 1_000, delivered: 1_000, ordinal: 1_000, version: 50 })]);
  const first = c.history(room(), { limit: 300 });
  await serve(s, 1_000, 2);
  const page = await first;
  assert.deepEqual([page.from, page.to, page.before, page.after, page.partial, page.items.length], [701, 1_000, true, false, false, 300]);
  assert.deepEqual(seqs((await c.history(room(), { before: 900, limit: 3 })).items), [897, 898, 899]); // nothing is asked for twice
  await s.silent(20);

  const after = c.history(room(), { after: 10, limit: 5 });
  const r = await s.request();
  assert.deepEqual([r.history!.from, r.history!.to, r.history!.backward], [11, 15, false]);
  const { page: p } = pageOf(11, 15, 1_000);
  s.reply(r, { page: { ...p!, items: [{ message: message(11) }, { withheld: { from: 12, to: 14, reason: wire.NOT_YOURS } }, { message: message(15) }] } });
  assert.deepEqual(seqs((await after).items), [11, "12-14", 15]);
  assert.deepEqual(seqs((await c.messages(room(), { from: 10, to: 16 })).items), [11, "12-14", 15]);
  assert.deepEqual((await c.messages(room(), { from: 10, to: 16 })).holes, [{ from: 10, to: 10 }, { from: 16, to: 16 }]);

  const around = c.history(room(), { around: 500, limit: 10 });
  await serve(s, 1_000, 1);
  assert.deepEqual(seqs((await around).items), [495, 496, 497, 498, 499, 500, 501, 502, 503, 504]);
  assert.deepEqual(seqs((await c.history(room(), { around: 1_000, limit: 4 })).items), [997, 998, 999, 1_000]);
  const start = c.history(room(), { before: 1 });
  assert.deepEqual([(await start).items.length, (await start).before, (await start).after], [0, false, true]);

  // Offline it gives what is held next to the place.
  s.cut();
  await until("offline", () => c.connection.status !== "online");
  const c2 = await fake.accept();
  c2.close(4100);
  await until("offline", () => c.connection.status === "offline");
  const part = await c.history(room(), { before: 800, limit: 200 });
  assert.deepEqual([part.from, part.to, part.before, part.partial], [701, 799, true, true]);
  const none = await c.history(room(), { before: 650, limit: 20 });
  assert.deepEqual([none.items.length, none.from, none.to, none.before, none.after, none.partial], [0, 650, 649, true, true, true]);
  await assert.rejects(c.history(room(9)), (e) => e instanceof ParleyError && e.code === "unknown");
}));

test("too many messages: old ones of what was looked at longest ago are dropped, and read again", withFake(async (fake) => {
  const all = [1, 2].map((n) => state({ n, last: 500, delivered: 500, read: 500, ordinal: 500, readOrdinal: 500 }));
  const { c, s } = await fake.online(all, { messagesMax: 600 });
  for (const n of [1, 2]) {
    const h = c.history(room(n), { limit: 400 });
    await serve(s, 500, 2, { n });
    await h;
  }
  await until("trimmed", () => true);
  await sleep(50);
  assert.equal((await c.messages(room(1), { from: 401 })).items.length, 100);
  assert.deepEqual((await c.messages(room(1))).holes, [{ from: 1, to: 400 }]);
  assert.equal((await c.messages(room(2), { from: 101 })).holes.length, 0);
}));

test("a conversation that an authoritative sync does not name is gone; one that was left stays readable", withFake(async (fake) => {
  const { c, s } = await fake.online([state(), state({ n: 2 }), state({ n: 3, version: 3 })]);
  s.say({ state: { conversation: fromHex(room(3)), version: 4, left: true } });
  await until("left", () => c.conversation(room(3))!.left);
  assert.equal(c.conversation(room(3))!.unread, 0);
  s.cut();
  const gone = next(c, "gone");
  const s2 = await fake.accept();
  s2.states = [state({ n: 2 }), state({ n: 3, version: 4, left: true })];
  s2.welcome();
  assert.equal((await gone).id, room(1));
  assert.deepEqual(c.conversations().map((v) => v.id), [room(2), room(3)]);
}));

test("sync pages are followed to the end, and the cursor is kept only then", withFake(async (fake) => {
  const store = new MemoryStore();
  const c = await fake.open({ store });
  const s = await fake.accept();
  s.auto.sync = false;
  s.welcome();
  const r = await s.request();
  assert.equal(r.sync!.cursor.length, 0);
  s.reply(r, s.page([state()], { more: true, cursor: new Uint8Array([5]) }));
  const r2 = await s.request();
  assert.deepEqual([...r2.sync!.cursor], [5]);
  assert.equal(c.connection.status, "syncing");
  assert.equal((await store.load()).meta!.cursor.length, 0);
  s.reply(r2, refuse(1001, { retryAfterMs: 10 }));
  const r3 = await s.request();
  assert.equal(r3.sync!.cursor.length, 0, "a sync that was cut short begins anew");
  s.reply(r3, s.page([state(), state({ n: 2 })]));
  await until("online", () => c.connection.status === "online");
  assert.deepEqual([...(await store.load()).meta!.cursor], [1]);
}));

test("a conversation that is new begins with its first message", withFake(async (fake) => {
  const { c, s } = await fake.online([]);
  s.auto.state = false;
  s.say({ message: message(1, { n: 4 }) });
  const r = await s.request();
  assert.ok(r.state);
  assert.deepEqual(c.conversations(), []);
  s.reply(r, { state: state({ n: 4, last: 1, version: 2, ordinal: 1 }) });
  const e = await next(c, "messages");
  assert.deepEqual(seqs(e.items), [1]);
  assert.equal(c.conversation(room(4))!.unread, 1);
}));

test("in a group, ticks wait for all that belong", withFake(async (fake) => {
  const group = (s: object = {}) => ({ ...state({ ...s }), kind: wire.CONVERSATION_GROUP, peer: undefined, title: "team" });
  const { c, s } = await fake.online([group()]);
  s.auto.members = false;
  await c.send(room(), "one");
  const [r] = await s.sends(1);
  s.reply(r!, sent(1));
  const m = await s.request();
  assert.ok(m.members, "who belongs is asked after an own message");
  const members = (d: number, e: number, ...more: Init<wire.Member>[]): Init<wire.ServerMessage> => ({
    members: { members: [{ user: "ann", role: 3 }, { user: "bob", role: 1, delivered: d, name: "Bob" }, { user: "cem", role: 1, delivered: e, read: e }, ...more] },
  });
  s.reply(m, members(1, 0));
  await until("members", () => c.conversation(room())!.members?.length === 2);
  assert.equal(c.conversation(room())!.tick(1), "sent");
  s.say({ marks: { conversation: fromHex(room()), version: 9, user: "cem", delivered: 1, read: 1 } });
  await until("tick", () => c.conversation(room())!.tick(1) === "delivered");
  s.say({ marks: { conversation: fromHex(room()), version: 10, user: "bob", delivered: 1, read: 1 } });
  await until("tick", () => c.conversation(room())!.tick(1) === "read");
  s.say({ message: message(2, { kind: wire.KIND_SYSTEM, text: "", event: { type: wire.EVENT_ADDED, users: ["dan"] } }) });
  const again = await s.request();
  assert.ok(again.members, "and after a change");
  s.reply(again, members(1, 1, { user: "dan", role: 1 }));
  await until("members", () => c.conversation(room())!.members?.length === 3);
  assert.equal(c.conversation(room())!.tick(1), "read", "who joins later takes back nothing");
  assert.equal(c.conversation(room())!.tick(2), "sent");
  const held = await c.messages(room(), { from: 2 });
  assert.deepEqual(held.items[0]?.type === "message" && held.items[0].event, { type: "added", users: ["dan"], role: "none", title: "" });
}));

test("what an app does not know of is shown in a neutral way", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  s.say({ message: message(1, { kind: 200, text: "", data: new Uint8Array([1]) }) }, {} /* a server message of which no field is known */);
  const e = await next(c, "messages");
  assert.ok(e.items[0]?.type === "message" && e.items[0].kind === "unknown" && e.items[0].data!.length === 1);
}));

test("sequences that no number can count do not make the client count for ever", withFake(async (fake) => {
  const far = 2 ** 60;
  const { c, s } = await fake.online([state({ last: far, version: 2 })]);
  const r = await s.request();
  s.reply(r, { page: { conversation: fromHex(room()), last: far, version: 3, from: far, to: far, items: [{ message: message(far, { at: 1, number: 1 }) }] } });
  assert.equal(told([await next(c, "messages")])[0], far);
}));

/** A device that holds messages 1..n, of which 2 is its own. */
async function restorable(c: Client, s: FakeConnection, n: number): Promise<void> {
  s.say({ message: message(1) });
  await next(c, "messages");
  await c.send(room(), "mine");
  const [r] = await s.sends(1);
  s.reply(r!, sent(2));
  for (let seq = 3; seq <= n; seq++) s.say({ message: message(seq) });
  await until("held", () => c.conversation(room())!.last === n);
  await until("acknowledged", () => s.seen.some((r) => r.acknowledge?.marks.some((m) => m.delivered === n)));
}

test("a server that went back in time: what is gone is dropped, own messages come back as failed drafts", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  await restorable(c, s, 4);
  const restored = next(c, "restored");
  const events = record(c, "messages");
  s.cut();
  const s2 = await fake.accept();
  s2.states = [state({ last: 2, version: 3, delivered: 1, ordinal: 2 })];
  s2.welcome({ incarnation: 2n, stream: 20n });
  const r = await s2.request();
  assert.deepEqual([r.history!.to, r.history!.backward], [2, true]);
  // 1 is as it was; 2 was lost, and its sequence given to another.
  s2.reply(r, { page: { conversation: fromHex(room()), last: 2, version: 3, from: 1, to: 2, items: [{ message: message(1) }, { message: message(2, { text: "another", stream: 5n }) }] } });
  assert.equal((await restored).id, room());
  await until("told", () => told(events).length > 0);
  assert.deepEqual(told(events), [2]);
  const held = await c.messages(room());
  assert.deepEqual(held.items.map((i) => i.type === "message" && i.text), ["m1", "another"]);
  const [d] = c.drafts(room());
  assert.deepEqual([d!.text, d!.status, d!.error!.code], ["mine", "failed", "restored"]);
  await c.resend(d!);
  const [again] = await s2.sends(1);
  assert.deepEqual([again!.send!.stream, ...textsOf([again!])], [20n, "1 mine"]);
}));

test("a server that went back in time: drafts that were not answered are looked for", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  await c.send(room(), "one");
  await c.send(room(), "two");
  await s.sends(2);
  s.cut();
  const s2 = await fake.accept();
  s2.states = [state({ last: 1, version: 2, ordinal: 1, own: 1, delivered: 1 })];
  s2.welcome({ incarnation: 2n, stream: 20n });
  const find = async () => {
    let r = await s2.request();
    for (; r.findSent === undefined; r = await s2.request()) s2.reply(r, refuse(2001)); // what is missing is read at the same time
    return r;
  };
  const one = await find();
  assert.deepEqual([one.findSent!.stream, one.findSent!.number], [7n, 1]);
  s2.reply(one, sent(1));
  s2.reply(await find(), refuse(1006));
  const [two] = await s2.sends(1);
  assert.deepEqual([two!.send!.stream, ...textsOf([two!])], [20n, "1 two"]);
}));

test("10,000 conversations: the list is the same until something changes, and so is what did not", withFake(async (fake) => {
  const store = new MemoryStore();
  const c = await fake.open({ store });
  const s = await fake.accept();
  s.auto.sync = false;
  s.welcome();
  for (let n = 0; n < 10_000; n += 200) {
    const r = await s.request();
    s.reply(r, s.page(Array.from({ length: 200 }, (_, i) => state({ n: n + i + 1, changed: (n + i + 1) * 1_000_000 })), { more: n < 9_800 }));
  }
  await until("online", () => c.connection.status === "online", 60_000);
  const list = c.conversations();
  assert.equal(list.length, 10_000);
  assert.equal(list[0]!.id, room(10_000));
  assert.equal(c.conversations(), list);
  for (let i = 0; i < 100; i++) s.say({ message: message(1, { n: 1 + i * 50, at: (20_000 + i) * 1_000_000 }) });
  await until("moved", () => c.conversations()[99]!.id === room(1), 20_000);
  assert.equal(c.conversations()[0]!.id, room(4_951));
  const before = new Set(list);
  assert.equal(c.conversations().filter((v) => before.has(v)).length, 9_900); // the values of the others are used again
  await c.close();
  const again = await fake.open({ store });
  assert.equal(again.conversations().length, 10_000);
}));

test("a slow consumer of events gets them merged, and nothing is lost", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  const events = c.events();
  for (let seq = 1; seq <= 1_500; seq++) s.say({ message: message(seq) });
  await until("all", () => c.conversation(room())!.unread === 1_500);
  const taken: AnyEvent[] = [];
  void c.close().then(() => {});
  for await (const e of events) taken.push(e);
  const m = taken.filter((e) => e.type === "messages");
  assert.equal(m.length, 1);
  assert.deepEqual([m[0]!.hole, seqs(m[0]!.items).length, seqs(m[0]!.items).at(-1)], [{ from: 1, to: 500 }, 1_000, 1_500]);
  assert.equal(taken.at(-1)!.type, "connection");
}));

test("what comes with the welcome is taken, and counted", withFake(async (fake) => {
  const c = await fake.open();
  const s = await fake.accept();
  s.states = [state({ last: 1, version: 2, ordinal: 1 })];
  s.incarnation = 1n;
  s.say({ welcome: { user: "ann", stream: 7n, incarnation: 1n, heartbeatMs: 30_000 } }, { message: message(1) }, { check: { pushes: 1 } });
  await next(c, "messages");
  await until("online", () => c.connection.status === "online");
  await sleep(30);
  assert.equal(s.seen.filter((r) => r.sync).length, 1);
}));

test("a history that is longer than what is kept is read all the same", withFake(async (fake) => {
  const { c, s } = await fake.online([state({ last: 500, delivered: 500, read: 500, ordinal: 500, readOrdinal: 500 })], { messagesMax: 150 });
  const h = c.history(room(), { limit: 400 });
  await serve(s, 500, 2);
  assert.equal((await h).items.length, 400);
  await s.silent(50);
}));

test("a loss that is noticed while a sync runs leads to another", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  s.auto.sync = false;
  s.say({ check: { pushes: 1 } });
  const first = await s.request();
  s.say({ check: { pushes: 2 } });
  await s.silent(30);
  s.reply(first, s.page([]));
  const second = await s.request();
  assert.ok(second.sync);
  s.reply(second, s.page([state()]));
  await until("online", () => c.connection.status === "online");
}));
