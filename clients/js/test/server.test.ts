// Against the real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MemoryStore, ParleyError } from "../src/index.js";
import { next, record, sleep, until } from "./fake.js";
import { Parley, texts } from "./parley.js";

let parley: Parley;
before(async () => (parley = await Parley.start()));
after(() => parley.stop());

test("two people, over both subprotocols: messages, ticks, counts", async () => {
  for (const subprotocol of ["proto", "json"] as const) {
    const [ann, bob] = [await parley.online(`ann-${subprotocol}`, { subprotocol }), await parley.online(`bob-${subprotocol}`, { subprotocol })];
    const { id, peer } = await ann.createDirect(bob.user);
    assert.equal(peer!.user, bob.user);
    const events = record(bob, "messages");
    const all = Array.from({ length: 100 }, (_, i) => `${i} 👋🏽 שלום <script>`);
    await Promise.all(all.map((t) => ann.send(id, t)));
    await ann.send(id, { kind: "image", data: new Uint8Array([0, 255]) });
    await until("received", () => bob.conversation(id)?.last === 101 && bob.conversation(id)!.unread === 101);
    await until("told", () => events.flatMap((e) => (e.type === "messages" ? e.items : [])).length === 101);
    assert.deepEqual(await texts(bob, id), all);
    const last = (await bob.history(id, { limit: 1 })).items[0]!;
    assert.ok(last.type === "message" && last.kind === "image" && last.data!.length === 2 && !last.own);
    await until("delivered", () => ann.conversation(id)!.tick(101) === "delivered");
    await bob.markRead(id, 50);
    assert.equal(bob.conversation(id)!.unread, 51);
    await until("read", () => ann.conversation(id)!.tick(50) === "read");
    assert.equal(ann.conversation(id)!.tick(51), "delivered");
    assert.equal(ann.drafts(id).length, 0);
  }
});

test("the server is killed in the middle of sends: nothing is missing, nothing is there twice", async () => {
  const [ann, bob] = [await parley.online("ann-killed"), await parley.online("bob-killed")];
  const { id } = await ann.createDirect(bob.user);
  const [a, b]: [string[], string[]] = [[], []];
  for (let i = 0; i < 300; i++) {
    a.push(`a${i}`);
    b.push(`b${i}`);
    await ann.send(id, a.at(-1)!);
    await bob.send(id, b.at(-1)!);
    if (i === 100 || i === 200) {
      const down = parley.end(i === 100 ? "SIGKILL" : "SIGTERM").then(() => parley.run());
      for (let j = 0; j < 20; j++, await sleep(5)) {
        a.push(`a${i}.${j}`);
        await ann.send(id, a.at(-1)!);
      }
      await down;
    }
  }
  await until("all sent", () => ann.drafts(id).length + bob.drafts(id).length === 0, 20_000);
  await until("all there", () => ann.conversation(id)!.last === a.length + b.length && bob.conversation(id)!.last === a.length + b.length, 10_000);
  const fresh = await parley.online("bob-killed", { store: new MemoryStore() });
  for (const c of [ann, bob, fresh]) {
    const got = await texts(c, id);
    assert.deepEqual(got.filter((t) => t.startsWith("a")), a);
    assert.deepEqual(got.filter((t) => t.startsWith("b")), b);
  }
});

test("several devices of one user show the same", async () => {
  const [phone, laptop, bob] = [await parley.online("ann-two"), await parley.online("ann-two"), await parley.online("bob-two")];
  const { id } = await phone.createDirect(bob.user);
  await phone.send(id, "from the phone");
  await until("there", () => laptop.conversation(id)?.preview?.text === "from the phone");
  assert.ok(laptop.conversation(id)!.preview!.own);
  await until("delivered", () => laptop.conversation(id)!.tick(1) === "delivered");
  await bob.send(id, "one");
  await bob.send(id, "two");
  await until("unread", () => laptop.conversation(id)!.unread === 2 && phone.conversation(id)!.unread === 2);
  await laptop.markRead(id);
  await until("read", () => phone.conversation(id)!.unread === 0);
  await phone.markUnread(id, true);
  await until("flagged", () => laptop.conversation(id)!.markedUnread);
  const forever = new Date(Date.now() + 1e12);
  await phone.mute(id, forever);
  await until("muted", () => laptop.conversation(id)!.mutedUntil?.getTime() === forever.getTime());
  await phone.mute(id, null);
  await until("not muted", () => laptop.conversation(id)!.mutedUntil === undefined);
});

test("groups: make, add, give roles, rename, remove, leave", async () => {
  const [ann, bob, cem] = [await parley.online("ann-group"), await parley.online("bob-group"), await parley.online("cem-group")];
  const g = await ann.createGroup("tëam", [bob.user]);
  assert.deepEqual([g.kind, g.title, g.role], ["group", "tëam", "owner"]);
  await until("added", () => bob.conversation(g.id)?.role === "member");
  await bob.send(g.id, "hi");
  await assert.rejects(bob.rename(g.id, "x"), (e) => e instanceof ParleyError && e.code === "not_allowed");
  await ann.addMembers(g.id, [cem.user]);
  await ann.setRole(g.id, bob.user, "admin");
  await until("admin", () => bob.conversation(g.id)!.role === "admin");
  await bob.rename(g.id, "the others");
  await until("renamed", () => cem.conversation(g.id)?.title === "the others");
  assert.deepEqual((await cem.members(g.id)).map((m) => `${m.user} ${m.role}`).sort(), ["ann-group owner", "bob-group admin", "cem-group member"]);
  assert.equal(cem.conversation(g.id)!.members!.length, 2);
  const page = await cem.history(g.id);
  assert.ok(page.items.some((i) => i.type === "withheld"), "what was before is not shown");
  const page2 = await ann.history(g.id);
  assert.deepEqual(page2.items.flatMap((i) => (i.type === "message" && i.event ? [i.event.type] : [])), ["created", "added", "role", "renamed"]);
  await bob.removeMembers(g.id, [cem.user]);
  await until("removed", () => cem.conversation(g.id)?.left !== false);
  const failed = next(cem, "draft", (e) => e.draft.status === "failed");
  await cem.send(g.id, "still here?");
  assert.equal((await failed).draft.error!.code, "not_member");
  await bob.leave(g.id);
  await until("left", () => bob.conversation(g.id)?.left !== false);
  await assert.rejects(ann.addMembers(g.id, ["nobody-knows-him"]), (e) => e instanceof ParleyError && e.code === "unknown_user");
});

test("presence, typing and profiles", async () => {
  const [ann, bob] = [await parley.online("ann-live"), await parley.online("bob-live")];
  const { id } = await ann.createDirect(bob.user);
  await bob.setProfile({ name: "Bob <b>", picture: "https://example.com/b.png" });
  assert.equal((await ann.profiles([bob.user]))[0]!.name, "Bob <b>");
  await until("named", () => ann.conversation(id)!.peer!.name === "Bob <b>");
  const online = next(ann, "presence", (e) => e.presence.user === bob.user && e.presence.online);
  ann.watch([id]);
  await online;
  bob.watch([id]);
  await sleep(50);
  const writes = next(bob, "typing", (e) => e.active);
  ann.typing(id, true);
  assert.deepEqual([(await writes).user, (await writes).id], [ann.user, id]);
  const stops = next(bob, "typing", (e) => !e.active);
  ann.typing(id, false);
  await stops;
  const renamed = next(ann, "profile", (e) => e.profile.name === "Robert");
  await bob.setProfile({ name: "Robert" });
  await renamed;
  await until("renamed", () => ann.conversation(id)!.peer!.name === "Robert");
  const gone = next(ann, "presence", (e) => e.presence.user === bob.user && !e.presence.online);
  await bob.close();
  assert.ok(Math.abs((await gone).presence.lastSeen!.getTime() - Date.now()) < 10_000);
  const [again] = await ann.presence([bob.user]);
  assert.equal(again!.online, false);
  assert.equal((await ann.setProfile({ lastSeenTo: "nobody" })).lastSeenTo, "nobody");
});

test("devices are listed, and one that is shut out stops", async () => {
  const phone = await parley.online("ann-devices", { device: { name: "Ann's phone", platform: "test" } });
  const laptop = await parley.online("ann-devices");
  const list = await laptop.devices();
  assert.deepEqual(list.map((d) => [d.id, d.online, d.current]).sort(), [[phone.device, true, false], [laptop.device, true, true]].sort());
  assert.equal(list.find((d) => d.id === phone.device)!.name, "Ann's phone");
  const stopped = next(phone, "stopped");
  await laptop.revoke(phone.device);
  assert.equal((await stopped).error.code, "revoked");
});

test("a token that ends while connected is replaced; what waits is sent", async () => {
  let asked = 0;
  const ann = await parley.online("ann-expires", { token: () => (asked++, parley.token("ann-expires", "3s")) });
  const bob = await parley.online("bob-expires");
  const { id } = await ann.createDirect(bob.user);
  for (let i = 0; i < 40; i++, await sleep(100)) await ann.send(id, String(i));
  await until("all sent", () => ann.drafts(id).length === 0);
  assert.ok(asked >= 2 && asked <= 8, String(asked));
  await until("all there", () => bob.conversation(id)?.last === 40);
  assert.deepEqual(await texts(bob, id), Array.from({ length: 40 }, (_, i) => String(i)));
});

test("the largest message there may be, and one that is larger", async () => {
  for (const subprotocol of ["proto", "json"] as const) {
    const ann = await parley.online(`ann-large-${subprotocol}`, { subprotocol });
    const bob = await parley.online(`bob-large-${subprotocol}`, { subprotocol });
    const { id } = await ann.createDirect(bob.user);
    const text = "é".repeat(ann.bodyMax / 2);
    await ann.send(id, text);
    await until("there", () => bob.conversation(id)?.preview?.text === text);
    await assert.rejects(ann.send(id, text + "x"), (e) => e instanceof ParleyError && e.code === "too_large");
  }
});
