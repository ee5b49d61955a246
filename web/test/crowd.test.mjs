// Several people write into one group at the same time, while the server is killed and
// one of them is away: two in the short form, four with LONG=1. In the end all screens
// show the same.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, logIn, mark, menu, online, open, row, texts, title, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

const long = process.env.LONG === "1";
const names = long ? ["ann", "bob", "cem", "dora"] : ["ann", "bob"];
const rounds = long ? 8 : 2;
const each = 5; // messages of each person in a round

let server, browser, people, phone;

before(async () => {
  server = await startServer();
  browser = await launch();
  people = [];
  for (const name of names) people.push(await logIn(browser, server, name));
  phone = await logIn(browser, server, "ann", { viewport: { width: 390, height: 844 } });
  const [ann] = people;
  await menu(ann.page, "New group");
  const dialog = ann.page.getByRole("dialog");
  await dialog.getByLabel("Name of the group").fill("Everybody");
  for (const name of names.slice(1)) {
    await dialog.getByLabel("Add people by name").fill(name);
    await dialog.getByLabel("Add people by name").press("Enter");
  }
  await dialog.getByRole("button", { name: "Make the group" }).click();
  await title(ann.page, "Everybody");
  for (const p of people.slice(1)) await open(p.page, "Everybody");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const tryNow = (page) => page.getByRole("button", { name: "Try now" }).click({ timeout: 3000 }).catch(() => undefined);

for (let round = 1; round <= rounds; round++) {
  test(`round ${round} of ${names.length} people, with a kill: nothing missing, nothing twice, one order`, async () => {
    const away = people[round % people.length]; // closes the page before the others are done
    const address = away.page.url();
    const own = (p) => Array.from({ length: each }, (_, i) => `${p.user} ${round}.${i + 1}`);
    const writing = people.map(async (p) => {
      for (const text of own(p)) await write(p.page, text);
      if (p === away) await p.page.goto("about:blank");
    });
    await Promise.all(writing.slice(0, Math.ceil(writing.length / 2)));
    await server.kill();
    await Promise.all(writing);
    await server.start();
    await away.page.goto(address);
    await title(away.page, "Everybody");
    // What was perhaps not in the outbox yet when the page went is still in the field.
    const field = away.page.getByLabel("Message", { exact: true });
    const left = await field.inputValue();
    await away.page.waitForTimeout(500);
    if (left) {
      assert.ok(own(away).join("\n").endsWith(left), left);
      for (const text of left.split("\n")) if (!(await texts(away.page)).includes(text)) await write(away.page, text);
      if (await field.inputValue()) await field.fill("");
    }
    await Promise.all(people.map((p) => tryNow(p.page)));
    const sent = people.flatMap(own);
    const shown = async (p) => (await texts(p.page)).filter((t) => sent.includes(t));
    let order;
    for (const p of people) {
      await online(p.page);
      await until(`all of it on ${p.user}'s screen`, () => shown(p), (all) => all.length >= sent.length);
      const now = await shown(p);
      order ??= now;
      assert.deepEqual(now, order, `${p.user}'s screen`);
    }
    assert.deepEqual([...order].sort(), [...sent].sort(), "each of them once");
    for (const p of people) assert.deepEqual(order.filter((t) => t.startsWith(`${p.user} `)), own(p), `${p.user}'s own order`);
    for (const p of people) await mark(p.page, own(p).at(-1), "read");
  });
}

test("what was read at the desk is read on the phone", async () => {
  await until("nothing unread", () => row(phone.page, "Everybody").locator(".badge").count(), (n) => n === 0);
  await open(phone.page, "Everybody");
  await mark(phone.page, `ann ${rounds}.${each}`, "read");
});

test("nothing was complained about", () => {
  assert.deepEqual([...people.flatMap((p) => p.errors), ...phone.errors], []);
});
