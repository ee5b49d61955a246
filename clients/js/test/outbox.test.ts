// The outbox: what is sent, in which order, under which numbers; and what follows a refusal.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore, ParleyError, StoreError, type Changes, type Draft } from "../src/index.js";
import { fromHex } from "../src/wire/bytes.js";
import { message, next, record, refuse, room, sent, sleep, state, textsOf, until, withFake } from "./fake.js";

const statuses = (all: readonly Draft[]): string[] => all.map((d) => `${d.text} ${d.status}`);

test("drafts are numbered, pipelined, and become messages", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  const events = record(c, "messages", "draft");
  const [a, b] = await Promise.all([c.send(room(), "one"), c.send(room(), "two")]);
  assert.deepEqual([a!.status, b!.text], ["queued", "two"]);
  const rs = await s.sends(2);
  assert.deepEqual(textsOf(rs), ["1 one", "2 two"]);
  assert.equal(rs[0]!.send!.stream, 7n);
  assert.deepEqual(statuses(c.drafts(room())), ["one queued", "two queued"]);
  rs.forEach((r, i) => s.reply(r, sent(i + 1)));
  await until("sent", () => c.drafts(room()).length === 0);
  await until("told", () => events.some((e) => e.type === "messages"));
  const items = events.flatMap((e) => (e.type === "messages" ? e.items : []));
  assert.deepEqual(items.map((i) => i.type === "message" && `${i.seq} ${i.text} ${i.own} ${i.number}`), ["1 one true 1", "2 two true 2"]);
  assert.deepEqual(events.flatMap((e) => (e.type === "draft" ? [`${e.draft.text} ${e.draft.status}`] : [])), ["one queued", "two queued", "one sent", "two sent"]);
  assert.equal(c.conversation(room())!.tick(1), "sent");
  assert.equal(c.conversation(room())!.tick(3), undefined);
}));

test("what was not answered is sent again, the same", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  await c.send(room(), "one");
  await c.send(room(), "two");
  await s.sends(2);
  s.cut();
  await c.send(room(), "three"); // offline
  const s2 = await fake.accept();
  s2.states = [state()];
  s2.welcome({ stream: 8n });
  const rs = await s2.sends(3);
  assert.deepEqual(textsOf(rs), ["1 one", "2 two", "3 three"]);
  assert.ok(rs.every((r) => r.send!.stream === 7n));
  rs.forEach((r, i) => s2.reply(r, sent(i + 1)));
  await until("sent", () => c.drafts(room()).length === 0);
}));

test("a receipt that was lost comes as a message, and nothing is sent twice", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  await c.send(room(), "one");
  await s.sends(1);
  s.say({ message: message(1, { from: "ann", stream: 7n, number: 1, text: "one" }) });
  await until("sent", () => c.drafts(room()).length === 0);
  s.cut();
  const s2 = await fake.accept();
  s2.welcome();
  await s2.silent(100);
}));

test("the outbox survives the process", withFake(async (fake) => {
  const store = new MemoryStore();
  const first = await fake.open({ store });
  const s = await fake.accept(); // never welcomed
  await first.send(room(), "one");
  await first.send(room(), "two");
  const { device } = first;
  await first.close();
  assert.equal(s.device, device);
  const c = await fake.open({ store });
  assert.deepEqual(statuses(c.drafts(room())), ["one queued", "two queued"]);
  const s2 = await fake.accept();
  assert.equal(s2.device, device);
  s2.welcome({ stream: 9n });
  const rs = await s2.sends(2);
  assert.deepEqual(textsOf(rs), ["1 one", "2 two"]);
  assert.equal(rs[0]!.send!.stream, 9n);
}));

test("behind one that is refused for good, the others move up", withFake(async (fake) => {
  const { c, s } = await fake.online([state(), state({ n: 2 })]);
  for (const t of ["one", "two", "three"]) await c.send(room(), t);
  const rs = await s.sends(3);
  s.reply(rs[0]!, sent(1));
  s.reply(rs[1]!, refuse(2003, { name: "too_large" }));
  await c.send(room(2), "elsewhere"); // other conversations do not wait
  assert.deepEqual(textsOf(await s.sends(1)), ["1 elsewhere"]);
  s.reply(rs[2]!, refuse(1005, { expected: 2 }));
  const [again] = await s.sends(1);
  assert.deepEqual(textsOf([again!]), ["2 three"]);
  assert.equal(again!.send!.stream, 7n);
  s.reply(again!, sent(2));
  await until("settled", () => c.drafts(room()).length === 1);
  const [failed] = c.drafts(room());
  assert.deepEqual([failed!.text, failed!.status, failed!.error!.code], ["two", "failed", "too_large"]);

  // It may be sent anew, or forgotten.
  await c.resend(failed!);
  const [anew] = await s.sends(1);
  assert.deepEqual(textsOf([anew!]), ["3 two"]);
  const refused = next(c, "draft", (e) => e.draft.status === "failed");
  s.reply(anew!, refuse(2001));
  const e = await refused;
  assert.equal(e.draft.error!.code, "not_member");
  await c.discard(e.draft);
  assert.deepEqual(c.drafts(room()), []);
}));

test("a number that an earlier connection wrote is not given away: the rest goes to a new stream", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  for (const t of ["one", "two", "three"]) await c.send(room(), t);
  await s.sends(3);
  s.cut();
  const s2 = await fake.accept();
  s2.states = [state()];
  s2.welcome({ stream: 8n });
  const rs = await s2.sends(3);
  s2.reply(rs[0]!, refuse(2001));
  s2.reply(rs[1]!, refuse(1005, { expected: 1 }));
  s2.reply(rs[2]!, refuse(1005, { expected: 1 }));
  // Each is looked for, after a while in which late bytes may come.
  for (const [i, found] of [false, true, false].entries()) {
    const r = await s2.request();
    assert.deepEqual([r.findSent!.stream, r.findSent!.number], [7n, i + 1]);
    s2.reply(r, found ? sent(1) : refuse(1006));
  }
  const [last] = await s2.sends(1);
  assert.deepEqual([last!.send!.stream, ...textsOf([last!])], [8n, "1 three"]);
  s2.reply(last!, sent(2));
  await until("settled", () => c.drafts(room()).every((d) => d.status !== "queued"));
  assert.deepEqual(statuses(c.drafts(room())).filter((d) => d.endsWith("failed")), ["one failed"]);
}));

test("a refusal for now is followed by the same again, after the pause named", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  await c.send(room(), "one");
  await c.send(room(), "two");
  const rs = await s.sends(2);
  const at = performance.now();
  s.reply(rs[0]!, refuse(1001, { retryAfterMs: 1500 }));
  s.reply(rs[1]!, refuse(1005, { expected: 1 }));
  const again = await s.sends(2);
  assert.ok(performance.now() - at >= 1400);
  assert.deepEqual(textsOf(again), ["1 one", "2 two"]);
}));

test("where the server has forgotten the stream, the draft is looked for, and goes on in a fresh one", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  await c.send(room(), "one");
  await c.send(room(), "two");
  await s.sends(2);
  s.cut();
  const s2 = await fake.accept();
  s2.states = [state()];
  s2.welcome({ stream: 8n });
  for (const r of await s2.sends(2)) s2.reply(r, refuse(1006));
  for (const found of [true, false]) {
    const r = await s2.request();
    assert.equal(r.findSent!.stream, 7n);
    s2.reply(r, found ? sent(1) : refuse(1006));
  }
  const [two] = await s2.sends(1);
  assert.deepEqual([two!.send!.stream, ...textsOf([two!])], [8n, "1 two"]);
}));

test("a number that holds another body fails that draft alone", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  await c.send(room(), "one");
  await c.send(room(), "two");
  const rs = await s.sends(2);
  s.reply(rs[0]!, refuse(2005));
  s.reply(rs[1]!, sent(1));
  await until("settled", () => c.drafts(room()).every((d) => d.status === "failed"));
  assert.deepEqual(c.drafts(room()).map((d) => d.error?.code), ["number_reused"]);
  await c.send(room(), "three");
  assert.deepEqual(textsOf(await s.sends(1)), ["3 three"]);
}));

test("requests that a login would cure are sent again after one", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  await c.send(room(), "one");
  const [r] = await s.sends(1);
  s.reply(r!, refuse(3001));
  const s2 = await fake.accept();
  s2.welcome();
  assert.deepEqual(textsOf(await s2.sends(1)), ["1 one"]);
}));

test("not more are on their way than the server allows, and frames stay below its limit", withFake(async (fake) => {
  const { c, s } = await fake.online([state()], {}, { requestsMax: 8, frameMax: 1000 });
  await Promise.all(Array.from({ length: 20 }, (_, i) => c.send(room(), `${i} ${"x".repeat(300)}`)));
  const rs = await s.sends(4); // half of what is allowed
  await s.silent(50);
  assert.ok(s.frames.every((n) => n <= 1000), String(s.frames));
  rs.forEach((r, i) => s.reply(r, sent(i + 1)));
  await s.sends(4);
}));

test("a request that fits into no frame is refused here", withFake(async (fake) => {
  const { c } = await fake.online([state()], { subprotocol: "json" }, { bodyMax: 4_000, frameMax: 4_000 });
  const failed = next(c, "draft", (e) => e.draft.status === "failed");
  await c.send(room(), { kind: "image", data: new Uint8Array(3_500) }); // a third longer in JSON
  assert.equal((await failed).draft.error!.code, "too_large");
  await assert.rejects(c.send(room(), "é".repeat(2_001)), (e) => e instanceof ParleyError && e.code === "too_large");
}));

test("every kind of text arrives as it was written", withFake(async (fake) => {
  for (const subprotocol of ["proto", "json"] as const) {
    const { c, s } = await fake.online([state()], { subprotocol });
    for (const t of ["👩‍👩‍👧 مرحبا שלום", "e\u0301\u0300", "a\n\u2028\0", "half \ud800 of one"]) {
      await c.send(room(), t);
      const [r] = await s.sends(1);
      assert.equal(r!.send!.text, t.replace("\ud800", "\ufffd"));
    }
  }
}));

test("the outbox has an end", withFake(async (fake) => {
  const { c } = await fake.online([state()], { store: new MemoryStore() }, { requestsMax: 2 });
  await Promise.all(Array.from({ length: 10_000 }, (_, i) => c.send(room(), String(i))));
  await assert.rejects(c.send(room(), "more"), (e) => e instanceof ParleyError && e.code === "outbox_full");
  assert.equal(c.drafts(room()).length, 10_000);
}));

/** A store that has room until it is told otherwise. */
class Full extends MemoryStore {
  full = false;
  broken = false;
  override async apply(c: Changes): Promise<void> {
    if (this.broken) throw new StoreError("store_broken", "the disk is gone");
    if (this.full && c.drafts.some((d) => d.status === "queued")) throw new StoreError("store_full", "no room");
    await super.apply(c);
  }
}

test("a full store refuses to send, and what goes on is not harmed", withFake(async (fake) => {
  const store = new Full();
  const { c, s } = await fake.online([state()], { store });
  await c.send(room(), "one");
  const [one] = await s.sends(1);
  store.full = true;
  const trouble = next(c, "trouble");
  const both = await Promise.allSettled([c.send(room(), "two"), c.send(room(), "three")]);
  assert.ok(both.every((r) => r.status === "rejected" && r.reason instanceof StoreError && r.reason.code === "store_full"), JSON.stringify(both));
  assert.equal((await trouble).error.code, "store_full");
  s.reply(one!, sent(1));
  await until("sent", () => c.drafts(room()).length === 0);
  store.full = false;
  await c.send(room(), "four");
  assert.deepEqual(textsOf(await s.sends(1)), ["2 four"]);
}));

test("what is resent into a full store stays the failed draft that it was", withFake(async (fake) => {
  const store = new Full();
  const { c, s } = await fake.online([state()], { store });
  await c.send(room(), "one");
  const failed = next(c, "draft", (e) => e.draft.status === "failed");
  s.reply((await s.sends(1))[0]!, refuse(2001));
  const { draft } = await failed;
  store.full = true;
  await assert.rejects(c.resend(draft), (e) => e instanceof StoreError && e.code === "store_full");
  store.full = false;
  assert.deepEqual(c.drafts(room()).map((d) => `${d.text} ${d.status}`), ["one failed"]);
  await c.resend(draft);
  assert.deepEqual(textsOf(await s.sends(1)), ["1 one"]);
  assert.deepEqual((await store.load()).drafts.map((d) => d.status), ["queued"]);
}));

test("a broken store stops the client: nothing is sent that is not kept", withFake(async (fake) => {
  const store = new Full();
  const { c, s } = await fake.online([state()], { store });
  store.broken = true;
  const stopped = next(c, "stopped");
  await assert.rejects(c.send(room(), "one"), (e) => e instanceof StoreError && e.code === "store_broken");
  assert.equal((await stopped).error.code, "store_broken");
  assert.equal(c.connection.status, "stopped");
  await s.silent(50);
}));

/** A store that was emptied behind the client's back. */
class Emptied extends MemoryStore {
  emptied = false;
  override async apply(c: Changes): Promise<void> {
    if (this.emptied) {
      this.emptied = false;
      await this.erase();
      throw new StoreError("store_broken", "emptied", undefined, true);
    }
    await super.apply(c);
  }
}

test("a store that was emptied is filled again: nothing is lost, and nothing sent twice", withFake(async (fake) => {
  const store = new Emptied();
  const { c, s } = await fake.online([state()], { store });
  s.say({ message: message(1) });
  await next(c, "messages");
  await c.send(room(), "one");
  await s.sends(1);
  store.emptied = true;
  const trouble = next(c, "trouble");
  await c.send(room(), "two");
  assert.equal((await trouble).error.code, "store_broken");
  assert.deepEqual(textsOf(await s.sends(1)), ["2 two"]);
  assert.deepEqual((await c.messages(room())).holes, [{ from: 1, to: 1 }]);
  const saved = await store.load();
  assert.deepEqual([saved.drafts.length, saved.lanes.length, saved.conversations.length], [2, 1, 1]);
  s.cut();
  const s2 = await fake.accept();
  s2.welcome();
  assert.deepEqual(textsOf(await s2.sends(2)), ["1 one", "2 two"]);
}));

test("a cleared store is a new device with a new stream", withFake(async (fake) => {
  const devices: string[] = [];
  for (const stream of [7n, 8n]) {
    const { c, s } = await fake.online([state()], { store: new MemoryStore() }, { stream });
    await c.send(room(), "one");
    const [r] = await s.sends(1);
    assert.deepEqual([r!.send!.stream, r!.send!.number], [stream, 1]);
    s.reply(r!, sent(1));
    devices.push(s.device);
    await c.close();
  }
  assert.match(devices[0]!, /^[0-9a-f]{32}$/);
  assert.notEqual(devices[0], devices[1]);
}));

test("close waits for the answers that are due", withFake(async (fake) => {
  const store = new MemoryStore();
  const { c, s } = await fake.online([state()], { store });
  await c.send(room(), "one");
  const [r] = await s.sends(1);
  const closing = c.close();
  await sleep(30);
  s.reply(r!, sent(1));
  await closing;
  assert.equal((await store.load()).drafts[0]!.status, "sent");
  await assert.rejects(c.send(room(), "late"), (e) => e instanceof ParleyError && e.code === "closed");
}));

test("no client sends system messages, and an id that is none is refused", withFake(async (fake) => {
  const { c } = await fake.online([state()]);
  await assert.rejects(c.send(room(), { kind: "system" as "image", data: new Uint8Array() }), (e) => e instanceof ParleyError && e.code === "bad_request");
  await assert.rejects(c.send("nonsense", "x"), (e) => e instanceof ParleyError && e.code === "unknown");
  assert.equal(fromHex(room()).length, 16);
}));


/** A store that takes its time. */
class Slow extends MemoryStore {
  waiting: (() => void)[] = [];
  slow = false;
  override async apply(c: Changes): Promise<void> {
    if (this.slow) await new Promise<void>((resolve) => this.waiting.push(resolve));
    await super.apply(c);
  }
}

test("nothing is sent, acknowledged or told before it is kept", withFake(async (fake) => {
  const store = new Slow();
  const { c, s } = await fake.online([state()], { store });
  await c.send(room(), "zero");
  const [zero] = await s.sends(1);
  const events = record(c, "messages", "draft");
  store.slow = true;
  const sending = c.send(room(), "one");
  s.reply(zero!, sent(1)); // which makes room for the next
  s.say({ message: message(2) });
  await s.silent(100);
  assert.equal(events.length, 0);
  assert.equal(s.seen.filter((r) => r.acknowledge).length, 0);
  store.slow = false;
  for (const go of store.waiting.splice(0)) go();
  assert.equal((await sending).status, "queued");
  assert.deepEqual(textsOf([(await s.sendOf())]), ["2 one"]);
  await until("told", () => events.some((e) => e.type === "messages"));
  await until("acknowledged", () => s.seen.some((r) => r.acknowledge));
}));
