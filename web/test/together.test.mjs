// People who write into one group at once, while the server is killed under them: in the
// end all screens show the same. Two in the short form, four with LONG=1.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, logIn, mark, menu, open, row, texts, title, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

const long = process.env.LONG === "1";
const names = long ? ["ann", "bob", "cem", "dora"] : ["ann", "bob"];
const rounds = long ? 6 : 3, kills = new Set([1, 3]);

let server, browser, people;

before(async () => {
  server = await startServer();
  browser = await launch();
  people = [];
  for (const n of names) people.push(await logIn(browser, server, n));
  const { page } = people[0];
  await menu(page, "New group");
  await page.getByLabel("Name of the group").fill("All of us");
  for (const n of names.slice(1)) {
    await page.getByLabel("Add people by name").fill(n);
    await page.getByLabel("Add people by name").press("Enter");
  }
  await page.getByRole("button", { name: "Make the group" }).click();
  await title(page, "All of us");
  for (const p of people.slice(1)) await open(p.page, "All of us");
}, { timeout: 120_000 });

after(async () => {
  await browser?.close();
  await server?.stop();
});

test(`${names.length} write at once, the server is killed, and all agree`, { timeout: 240_000 }, async () => {
  const sent = new Map(names.map((n) => [n, []]));
  for (let round = 0; round < rounds; round++) {
    const writing = people.map(async (p) => {
      for (let i = 0; i < 3; i++) {
        const text = `${p.user} ${round}.${i}`;
        sent.get(p.user).push(text);
        await write(p.page, text);
      }
    });
    if (kills.has(round)) await server.kill();
    await Promise.all(writing);
    if (kills.has(round)) await server.start();
  }
  const count = names.length * rounds * 3;
  const screens = [];
  for (const p of people) {
    await p.page.getByRole("button", { name: "Try now" }).click({ timeout: 500 }).catch(() => undefined);
    screens.push(await until(`${p.user} sees all`, () => texts(p.page), (t) => t.length >= count));
    await mark(p.page, sent.get(p.user).at(-1), "read");
  }
  for (const s of screens) assert.deepEqual(s, screens[0], "the same on every screen");
  assert.equal(new Set(screens[0]).size, count, "nothing twice");
  for (const [name, all] of sent) assert.deepEqual(screens[0].filter((t) => t.startsWith(`${name} `)), all, `${name}'s in order`);
  for (const p of people) {
    await until("nothing is unread", () => row(p.page, "All of us").locator(".badge").count(), (n) => n === 0);
    assert.deepEqual(p.errors, []);
  }
});
