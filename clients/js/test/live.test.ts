// Presence, typing, profiles, devices.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ParleyError, type AnyEvent } from "../src/index.js";
import { fromHex, toHex } from "../src/wire/bytes.js";
import * as wire from "../src/wire/schema.js";
import { message, next, record, room, sent, sleep, state, until, withFake } from "./fake.js";

const typing = (events: readonly AnyEvent[]): string[] => events.flatMap((e) => (e.type === "typing" ? [`${e.user} ${e.active}`] : []));

test("what is watched is watched again after a new connection", withFake(async (fake) => {
  const { c, s } = await fake.online([state(), state({ n: 2 })]);
  s.auto.watch = false;
  c.watch([room(), room(2)]);
  const r = await s.request();
  assert.deepEqual(r.watch!.conversations.map(toHex), [room(), room(2)]);
  const heard = next(c, "presence");
  s.reply(r, { presences: { presences: [{ user: "bob", lastSeen: 5_000_000 }] } });
  assert.deepEqual((await heard).presence, { user: "bob", online: false, hidden: false, lastSeen: new Date(5_000) });
  c.watch([room(), room(2)]); // nothing new
  await s.silent(20);
  s.cut();
  const s2 = await fake.accept();
  s2.auto.watch = false;
  s2.states = [state()];
  s2.welcome();
  assert.equal((await s2.request()).watch!.conversations.length, 2);
  c.watch([]);
  assert.equal((await s2.request()).watch!.conversations.length, 0);
  const hint = next(c, "presence");
  s2.say({ presences: { presences: [{ user: "bob", online: true }] } });
  assert.equal((await hint).presence.online, true);
}));

test("what is watched is watched again where the user is back, and where it was refused for now", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  s.auto.watch = false;
  c.watch([room()]);
  s.reply(await s.request(), { error: { code: 1001, name: "overloaded" } });
  s.reply(await s.request(), { presences: {} });
  s.say({ state: { conversation: fromHex(room()), version: 5, left: true } });
  await until("left", () => c.conversation(room())!.left);
  s.say({ state: state({ version: 6 }) });
  assert.deepEqual((await s.request()).watch!.conversations.map(toHex), [room()]);
}));

test("presence is asked for by 200", withFake(async (fake) => {
  const { c, s } = await fake.online();
  const all = c.presence(Array.from({ length: 250 }, (_, i) => `u${i}`));
  for (const n of [200, 50]) {
    const r = await s.request();
    assert.equal(r.presence!.users.length, n);
    s.reply(r, { presences: { presences: r.presence!.users.map((user) => ({ user, hidden: true })) } });
  }
  assert.equal((await all).length, 250);
  assert.equal((await all)[249]!.hidden, true);
}));

test("typing is said now and then, not at each key; and taken back", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  const said = () => s.seen.flatMap((r) => (r.typing ? [`${r.id} ${r.typing.active}`] : []));
  const at = performance.now();
  while (performance.now() - at < 4_400) {
    c.typing(room(), true);
    await sleep(50);
  }
  c.typing(room(), false);
  c.typing(room(), false);
  await sleep(50);
  assert.deepEqual(said(), ["0 true", "0 true", "0 false"]);
  c.typing(room(), true);
  await c.send(room(), "done");
  c.typing(room(), false); // the message has said so
  const r = [await s.request(), await s.request(), await s.request(), await s.request(), await s.request()].find((r) => r.send);
  s.reply(r!, sent(1));
  await sleep(50);
  assert.deepEqual(said(), ["0 true", "0 true", "0 false", "0 true"]);
}));

test("who writes is shown until he stops, sends, or is not heard of for 6 seconds", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  const events = record(c, "typing");
  const hint = (user: string, active = true) => s.say({ typing: { conversation: fromHex(room()), user, active } });
  hint("bob");
  hint("bob");
  hint("cem");
  hint("dan");
  hint("ann"); // that is the user himself, on another device
  await until("typing", () => typing(events).length === 3);
  assert.deepEqual(typing(events), ["bob true", "cem true", "dan true"]);
  const at = performance.now();
  hint("cem", false);
  s.say({ message: message(1, { from: "dan" }) });
  await until("stopped", () => typing(events).length === 5);
  assert.deepEqual(typing(events).slice(3), ["cem false", "dan false"]);
  await until("ended", () => typing(events).length === 6, 7_000);
  assert.ok(performance.now() - at > 5_800);
  assert.equal(typing(events)[5], "bob false");
}));

test("profiles are kept for a while, and shown wherever their users are", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  const first = c.profiles(["bob", "cem"]);
  const r = await s.request();
  assert.deepEqual(r.profiles!.users, ["bob", "cem"]);
  s.reply(r, { profiles: { profiles: [{ user: "bob", name: "Bob" }, { user: "cem", name: "Cem" }] } });
  assert.deepEqual((await first).map((p) => p.name), ["Bob", "Cem"]);
  assert.deepEqual((await c.profiles(["cem", "bob"])).map((p) => p.name), ["Cem", "Bob"]);
  await s.silent(20);
  await until("shown", () => c.conversation(room())!.peer!.name === "Bob");
  s.say({ profiles: { profiles: [{ user: "bob", name: "<b>Bob</b>", picture: "p" }] } });
  await until("changed", () => c.conversation(room())!.peer!.name === "<b>Bob</b>");
  assert.equal((await c.profiles(["bob"]))[0]!.picture, "p");

  const set = c.setProfile({ name: "Ann", lastSeenTo: "nobody" });
  const q = await s.request();
  assert.deepEqual([q.setProfile!.name, q.setProfile!.picture, q.setProfile!.lastSeenTo], ["Ann", undefined, wire.AUDIENCE_NOBODY]);
  s.reply(q, { profiles: { profiles: [{ user: "ann", name: "Ann", lastSeenTo: wire.AUDIENCE_NOBODY }] } });
  assert.deepEqual(await set, { user: "ann", name: "Ann", picture: "", lastSeenTo: "nobody" });
}));

test("devices are listed, and shut out", withFake(async (fake) => {
  const { c, s } = await fake.online();
  const list = c.devices();
  const r = await s.request();
  assert.ok(r.devices);
  s.reply(r, { devices: { devices: [{ device: fromHex(c.device), name: "here", platform: "node", created: 1_000, lastSeen: 2_000_000, online: true, current: true }, { online: true }] } });
  const [here, nameless] = await list;
  assert.deepEqual([here!.id, here!.name, here!.current, here!.lastSeen], [c.device, "here", true, new Date(2_000)]);
  assert.deepEqual([nameless!.id, nameless!.lastSeen], ["", undefined]);
  const revoked = c.revoke(nameless!.id);
  const q = await s.request();
  assert.equal(q.revokeDevice!.device.length, 0);
  s.reply(q, { done: {} });
  await revoked;
}));

test("settings and members are asked of the server", withFake(async (fake) => {
  const { c, s } = await fake.online([state()]);
  const calls: [() => Promise<unknown>, (r: wire.Request) => unknown, unknown][] = [
    [() => c.mute(room(), new Date(5)), (r) => r.prefer!.muteUntil, 5_000],
    [() => c.mute(room(), null), (r) => r.prefer!.muteUntil, 0],
    [() => c.markUnread(room(), true), (r) => r.prefer!.markUnread, true],
    [() => c.addMembers(room(), ["x"]), (r) => r.changeMembers!.add, ["x"]],
    [() => c.removeMembers(room(), ["x"]), (r) => r.changeMembers!.remove, ["x"]],
    [() => c.leave(room()), (r) => r.changeMembers!.remove, ["ann"]],
    [() => c.setRole(room(), "bob", "admin"), (r) => r.setRole!.role, wire.ROLE_ADMIN],
    [() => c.rename(room(), "t"), (r) => r.rename!.title, "t"],
  ];
  for (const [call, of, want] of calls) {
    const done = call();
    const r = await s.request();
    assert.deepEqual(of(r), want);
    s.reply(r, { done: {} });
    await done;
  }
  s.auto.members = false;
  const members = c.members(room());
  s.reply(await s.request(), { members: { members: [{ user: "ann", role: 3 }, { user: "bob", role: 1, name: "Bob", picture: "p", delivered: 1, read: 1 }] } });
  assert.deepEqual((await members)[1], { user: "bob", name: "Bob", picture: "p", role: "member", delivered: 1, read: 1 });
  assert.throws(() => c.watch(["x"]), (e) => e instanceof ParleyError && e.code === "unknown");
}));
