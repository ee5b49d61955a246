// Connections: tokens, coming back, going away, silence, and what ends a client for good.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryStore, ParleyError, StoreError, type Client } from "../src/index.js";
import { Fake, message, next, record, room, sent, sleep, state, textsOf, tokenOf, until, withFake } from "./fake.js";

const statuses = (c: Client): string[] => {
  const all: string[] = [];
  c.on("connection", (e) => all.push(e.connection.status));
  return all;
};

test("the token stands among the subprotocols, the device in the URL", withFake(async (fake) => {
  for (const subprotocol of ["proto", "json"] as const) {
    const { c, s } = await fake.online([], { subprotocol, device: { name: "Ann's näme " + "x".repeat(80), platform: "test" } });
    assert.deepEqual(s.protocols, [`parley.v1.${subprotocol}`, `parley.token.${tokenOf("ann")}`]);
    assert.equal(s.device, c.device);
    assert.equal(s.url.searchParams.get("platform"), "test");
    const name = s.url.searchParams.get("name")!;
    assert.ok(name.startsWith("Ann's näme x") && Buffer.byteLength(name) === 64, name);
    assert.ok(!s.url.search.includes("token"));
  }
}));

test("the user is known before there is a connection", withFake(async (fake) => {
  const c = await fake.open();
  assert.equal(c.user, "ann");
  assert.equal(c.durable, false);
  assert.equal(c.leader, true);
}));

test("a lost connection comes back at once, then with pauses that grow", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  s.cut();
  const s2 = await fake.accept();
  s2.cut(); // before the welcome
  const offline = await next(c, "connection", (e) => e.connection.status === "offline");
  const pause = offline.connection.retryAt! - Date.now();
  assert.ok(pause > 200 && pause <= 1_000, String(pause));
  assert.equal(offline.connection.error!.code, "network");
  const s3 = await fake.accept();
  s3.cut();
  const again = await next(c, "connection", (e) => e.connection.status === "offline");
  const longer = again.connection.retryAt! - Date.now();
  assert.ok(longer > 600 && longer <= 2_000, String(longer));
  c.reconnect(); // the user does not want to wait
  const s4 = await fake.accept(300);
  s4.welcome();
  await until("online", () => c.connection.status === "online");
}));

test("a server that is not there is tried again, and drafts wait", async () => {
  const fake = await Fake.start();
  await fake.stop();
  const c = await fake.open();
  await next(c, "connection", (e) => e.connection.status === "offline");
  assert.equal((await c.send(room(), "one")).status, "queued");
  await c.close();
});

test("a token that is refused is asked for again; refused twice, the client stops", withFake(async (fake) => {
  let asked = 0;
  const c = await fake.open({ token: () => (asked++, tokenOf("ann")) });
  (await fake.accept()).close(4300);
  const s2 = await fake.accept(1_000);
  s2.welcome();
  await until("online", () => c.connection.status === "online");
  assert.equal(asked, 2);
  s2.close(4301); // which is its end, and no refusal
  (await fake.accept(1_000)).close(4300);
  const s4 = await fake.accept(1_000);
  const stopped = next(c, "stopped");
  s4.close(4300);
  assert.equal((await stopped).error.code, "bad_token");
  assert.equal(c.connection.status, "stopped");
  assert.equal(asked, 4);
  await assert.rejects(c.send(room(), "x"), (e) => e instanceof ParleyError && e.code === "bad_token");
}));

test("a token that can not be had is tried again later", withFake(async (fake) => {
  let fails = false;
  const c = await fake.open({ token: async () => {
    if (fails) throw new Error("no network");
    return tokenOf("ann");
  } });
  const s = await fake.accept();
  s.welcome();
  await until("online", () => c.connection.status === "online");
  fails = true;
  s.cut();
  const e = await next(c, "connection", (e) => e.connection.status === "offline" && e.connection.error!.code === "token");
  assert.match(e.connection.error!.message, /no network/);
  fails = false;
  (await fake.accept()).welcome();
  await assert.rejects(fake.open({ token: () => Promise.reject(new Error("logged out")) }), (e) => e instanceof ParleyError && e.code === "token");
}));

test("a token that is about to expire is replaced, and nothing is lost", withFake(async (fake) => {
  let asked = 0;
  const { c, s } = await fake.online([state()], { token: () => `${tokenOf("ann")}${++asked}` });
  await c.send(room(), "one");
  const [one] = await s.sends(1);
  s.say({ tokenExpiring: { expiresInMs: 60_000 } });
  await sleep(30);
  await c.send(room(), "two"); // waits for the next session
  await s.silent(30);
  assert.equal(s.closed, undefined, "what is on its way is waited for");
  s.reply(one!, sent(1));
  const s2 = await fake.accept(1_000);
  assert.equal(asked, 2);
  assert.ok(s2.token.endsWith("2"));
  s2.states = [state({ last: 1, version: 2 })];
  s2.welcome();
  assert.deepEqual(textsOf(await s2.sends(1)), ["2 two"]);
  await until("closed", () => s.closed !== undefined);
}));

test("a device that was shut out stops, and is another one after the next login", withFake(async (fake) => {
  const store = new MemoryStore();
  const { c, s } = await fake.online([state()], { store });
  await c.send(room(), "one");
  const stopped = next(c, "stopped");
  s.close(4302);
  assert.equal((await stopped).error.code, "revoked");
  const c2 = await fake.open({ store });
  const s2 = await fake.accept();
  assert.notEqual(s2.device, s.device);
  assert.deepEqual(c2.drafts(room()).map((d) => d.text), ["one"]);
}));

test("a client that the server finds broken, or replaced, does not come back", withFake(async (fake) => {
  for (const [close, code] of [[4200, "protocol"], [4202, "replaced"]] as const) {
    const { c, s } = await fake.online();
    const stopped = next(c, "stopped");
    s.close(close);
    assert.equal((await stopped).error.code, code);
    const before = fake.connections;
    await sleep(300);
    assert.equal(fake.connections, before);
  }
}));

test("a store belongs to one user", withFake(async (fake) => {
  const store = new MemoryStore();
  const { c } = await fake.online([], { store });
  await c.close();
  const c2 = await fake.open({ store, token: () => tokenOf("bob") });
  const stopped = next(c2, "stopped");
  (await fake.accept()).welcome({ user: "bob" });
  assert.equal((await stopped).error.code, "other_user");
  assert.ok(new StoreError("other_user", "") instanceof ParleyError);
}));

test("a server that goes away is left once it has answered, and left alone as long as it says", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  await c.send(room(), "one");
  const [one] = await s.sends(1);
  s.say({ goingAway: { retryAfterMs: 700 } });
  await sleep(20);
  await c.send(room(), "two");
  s.say({ message: message(5) }); // there is something to read
  await s.silent(50);
  assert.equal(s.closed, undefined, "what is on its way is waited for");
  const at = performance.now();
  s.reply(one!, sent(1));
  const s2 = await fake.accept();
  const waited = performance.now() - at;
  assert.ok(waited >= 650, String(waited));
  assert.notEqual(s.closed, undefined);
  s2.welcome();
  assert.deepEqual(textsOf([await s2.sendOf()]), ["2 two"]);
  s2.say({ goingAway: { retryAfterMs: 2 ** 32 - 1 } }); // longer than a timer can wait
  await assert.rejects(fake.accept(300));
}));

test("a client closes though its app never gives it a token", withFake(async (fake) => {
  const tokens: (Promise<string> | string)[] = [tokenOf("ann"), new Promise(() => {})];
  const c = await fake.open({ token: () => tokens.shift()! });
  const s = await fake.accept();
  s.welcome();
  await until("online", () => c.connection.status === "online");
  s.cut();
  await until("asked", () => tokens.length === 0);
  await Promise.race([c.close(), sleep(10_000).then(() => assert.fail("it does not close"))]);
}));

test("a server that is silent for two heartbeats is given up", withFake(async (fake) => {
  const { s } = await fake.online([], {}, { heartbeatMs: 200 });
  for (let i = 0; i < 4; i++) {
    await sleep(150);
    s.say({ check: { pushes: 0 } });
  }
  assert.equal(fake.connections, 1);
  (s.ws as unknown as { _socket: { pause(): void } })._socket.pause();
  await fake.accept(2_000);
}));

test("what is not understood ends the connection, not the client", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  s.ws.send(Buffer.from([9, 1, 2]));
  await until("closed", () => s.closed !== undefined);
  assert.equal(s.closed!.code, 4200);
  (await fake.accept()).welcome();
  await until("online", () => c.connection.status === "online");
}));

test("a clock that is wrong by a day does no harm", withFake(async (fake) => {
  const real = Date.now;
  for (const wrong of [-86_400_000, 86_400_000]) {
    Date.now = () => real() + wrong;
    try {
      const { c, s } = await fake.online([state()]);
      const all = statuses(c);
      await c.send(room(), "one");
      const [r] = await s.sends(1);
      s.reply(r!, sent(1));
      s.say({ message: message(2) });
      await until("read", () => c.conversation(room())!.preview?.seq === 2);
      assert.equal(c.conversation(room())!.preview!.at.getTime(), 2_000);
      Date.now = () => real() - wrong; // and jumps
      await sleep(50);
      s.cut();
      (await fake.accept(1_000)).welcome();
      await until("online", () => c.connection.status === "online");
      assert.ok(!all.includes("stopped"));
    } finally {
      Date.now = real;
    }
  }
}));

test("calls wait for a connection, survive it, and say when they may have been done", withFake(async (fake) => {
  const c = await fake.open();
  const direct = c.createDirect("bob");
  const group = c.createGroup("team", ["bob"]);
  const s = await fake.accept();
  s.welcome();
  const rs = [await s.request(), await s.request()];
  assert.deepEqual(rs.map((r) => [r.create!.peer, r.create!.title]), [["bob", ""], ["", "team"]]);
  s.reply(rs[0]!, { error: { code: 1001, name: "overloaded", retryAfterMs: 20 } });
  assert.equal((await s.request()).create!.peer, "bob");
  const interrupted = assert.rejects(group, (e) => e instanceof ParleyError && e.code === "interrupted");
  s.cut();
  await interrupted;
  const s2 = await fake.accept();
  s2.welcome();
  const again = await s2.request();
  s2.reply(again, { state: state() });
  assert.equal((await direct).id, room());
  await s2.silent(30);
  const refused = c.rename(room(), "x");
  s2.reply(await s2.request(), { error: { code: 2002, name: "not_allowed", message: "not_allowed: a member" } });
  await assert.rejects(refused, (e) => e instanceof ParleyError && e.code === "not_allowed" && e.message === "not_allowed: a member");
}));

test("events are told in order, and a listener's fault is its own", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  const original = console.error;
  const faults: unknown[] = [];
  console.error = (e) => faults.push(e);
  c.on("messages", () => {
    throw new Error("the app's");
  });
  const events = record(c, "messages");
  const off = c.on("messages", () => assert.fail("it was ended"));
  off();
  s.say({ message: message(1) });
  await until("told", () => events.length === 1);
  console.error = original;
  assert.equal(faults.length, 1);
}));
