// What people do all day, in the small.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begin, launch, logIn, mark, menu, online, open, row, texts, title, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

let browser, server;
before(async () => { browser = await launch(); server = await startServer(); });
after(async () => { await browser?.close(); await server?.stop(); });

const names = (page) => page.locator(".conversation .name").allTextContents();
const focused = (page) => page.evaluate(() => document.activeElement.dataset.id ?? document.activeElement.getAttribute("aria-label") ?? document.activeElement.tagName);

async function choose(page, item) {
  await page.getByRole("button", { name: "Conversation menu" }).click();
  await page.getByRole("menuitem", { name: item }).click();
}

test("who answers above what he has not read sees his answer", async () => {
  const ann = await logIn(browser, server, "ann");
  const bob = await logIn(browser, server, "bob");
  await begin(ann.page, "bob");
  for (let i = 0; i < 100; i++) await write(ann.page, `word ${i}`);
  await mark(ann.page, "word 99", "delivered");
  await open(bob.page, "ann");
  await bob.page.locator(".unread-line").waitFor();
  await write(bob.page, "the answer");
  await mark(bob.page, "the answer", "read");
  await until("the end is shown", () => bob.page.evaluate(() => {
    const b = document.querySelector(".messages");
    return b.scrollHeight - b.scrollTop - b.clientHeight;
  }), (far) => far < 2);
  assert.equal((await texts(bob.page)).at(-1), "the answer");
  assert.equal(await row(bob.page, "ann").locator(".badge").count(), 0);
  assert.deepEqual([...ann.errors, ...bob.errors], []);
  await ann.close();
  await bob.close();
});

test("End means the end of the conversation", async () => {
  const bob = await logIn(browser, server, "bob");
  const ann = await logIn(browser, server, "ann");
  await open(ann.page, "bob");
  await bob.page.locator(".conversation").first().waitFor();
  for (let i = 0; i < 200; i++) await write(ann.page, `more ${i}`);
  await mark(ann.page, "more 199", "delivered");
  await open(bob.page, "ann");
  await bob.page.locator(".unread-line").waitFor();
  await bob.page.getByRole("region", { name: "Messages" }).focus();
  await bob.page.keyboard.press("End");
  await until("the last", () => texts(bob.page), (all) => all.at(-1) === "more 199");
  assert.deepEqual([...ann.errors, ...bob.errors], []);
  await ann.close();
  await bob.close();
});

test("the newest message stands above, whatever is read, marked or muted", async () => {
  const dora = await logIn(browser, server, "dora");
  const eve = await logIn(browser, server, "eve");
  const finn = await logIn(browser, server, "finn");
  const { page } = dora;
  await begin(page, "eve");
  await write(page, "first");
  await mark(page, "first", "delivered");
  await begin(page, "finn");
  await write(page, "second");
  await mark(page, "second", "delivered");
  assert.deepEqual(await names(page), ["finn", "eve"]);
  await open(eve.page, "dora");
  await open(page, "eve");
  await mark(page, "first", "read");
  await page.waitForTimeout(500);
  await choose(page, "Mark as unread");
  await row(page, "eve").locator(".badge.dot").waitFor();
  await choose(page, "Mute");
  await row(page, "eve").locator(".marks .icon").waitFor();
  assert.deepEqual(await names(page), ["finn", "eve"]);
  await page.reload();
  await online(page);
  await until("both", () => names(page), (all) => all.length === 2);
  assert.deepEqual(await names(page), ["finn", "eve"]);
  for (const d of [dora, eve, finn]) { assert.deepEqual(d.errors, []); await d.close(); }
});

test("the mark of unread stays while it is open, and goes when it is opened again", async () => {
  const gus = await logIn(browser, server, "gus");
  const hana = await logIn(browser, server, "hana");
  const { page } = gus;
  await begin(page, "hana");
  await write(page, "hello");
  await mark(page, "hello", "delivered");
  await page.waitForTimeout(500); // until it is seen: a read mark that comes later takes the flag away
  await choose(page, "Mark as unread");
  const dot = row(page, "hana").locator(".badge.dot");
  await dot.waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".nothing-open").waitFor();
  assert.equal(await dot.count(), 1);
  const id = await row(page, "hana").getAttribute("data-id");
  await until("the focus goes back to the row", () => focused(page), (f) => f === id);
  await page.keyboard.press("Enter");
  await title(page, "hana");
  await dot.waitFor({ state: "detached" });
  assert.deepEqual(gus.errors, []);
  await gus.close();
  await hana.close();
});

test("Esc closes a dialog, and not what is below it", async () => {
  const ivo = await logIn(browser, server, "ivo");
  const { page } = ivo;
  await menu(page, "New group");
  await page.getByLabel("Name of the group").fill("Climbers");
  await page.getByRole("button", { name: "Make the group" }).click();
  await title(page, "Climbers");
  await page.locator(".who").click();
  await page.getByRole("button", { name: "Leave the group" }).click();
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Alt+ArrowDown");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await page.locator(".details").count(), 1);
  await page.getByRole("button", { name: "Rename the group" }).click();
  await page.keyboard.press("Escape");
  await until("the focus", () => focused(page), (f) => f === "Rename the group");
  await page.keyboard.press("Escape");
  await page.locator(".details").waitFor({ state: "detached" });
  await title(page, "Climbers");
  assert.deepEqual(ivo.errors, []);
  await ivo.close();
});

test("the way back on a phone: from the details, from the conversation", async () => {
  const jan = await logIn(browser, server, "jan", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const kim = await logIn(browser, server, "kim");
  const { page } = jan;
  await begin(page, "kim");
  for (const leave of [() => page.goBack(), () => page.getByRole("button", { name: "Close the details" }).click()]) {
    await page.locator(".who").click();
    await page.locator(".details").waitFor();
    await leave();
    await page.locator(".details").waitFor({ state: "detached" });
    await title(page, "kim");
  }
  await page.goBack();
  await page.getByRole("heading", { name: "Chats" }).waitFor();
  assert.equal(await page.evaluate(() => location.hash), "");
  assert.deepEqual(jan.errors, []);
  await jan.close();
  await kim.close();
});

test("what the details cover is not seen", async () => {
  const una = await logIn(browser, server, "una", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const vic = await logIn(browser, server, "vic");
  await begin(una.page, "vic");
  await una.page.locator(".who").click();
  await una.page.locator(".details").waitFor();
  await begin(vic.page, "una");
  await write(vic.page, "are you there");
  await mark(vic.page, "are you there", "delivered");
  await una.page.waitForTimeout(500);
  assert.equal(await vic.page.locator('.bubble [data-mark="read"]').count(), 0);
  await una.page.goBack();
  await mark(vic.page, "are you there", "read");
  assert.deepEqual([...una.errors, ...vic.errors], []);
  await una.close();
  await vic.close();
});

test("what was refused can be found, also where one no longer belongs", async () => {
  const will = await logIn(browser, server, "will");
  const xena = await logIn(browser, server, "xena");
  await menu(will.page, "New group");
  await will.page.getByLabel("Name of the group").fill("Rowers");
  await will.page.getByLabel("Add people by name").fill("xena");
  await will.page.keyboard.press("Enter");
  await will.page.getByRole("button", { name: "Make the group" }).click();
  await title(will.page, "Rowers");
  await open(xena.page, "Rowers");
  await server.kill();
  await write(xena.page, "too late");
  await mark(xena.page, "too late", "queued");
  await xena.page.goto("about:blank");
  await server.start();
  await online(will.page);
  await will.page.locator(".who").click();
  await will.page.getByRole("button", { name: "What to do about xena" }).click();
  await will.page.getByRole("menuitem", { name: "Remove from the group" }).click();
  await will.page.getByRole("button", { name: "Remove", exact: true }).click();
  await will.page.getByText("You removed xena").first().waitFor();
  await xena.page.goto(server.url);
  await open(xena.page, "Rowers");
  await xena.page.getByText("Not sent: you no longer belong here.").waitFor();
  await xena.page.getByRole("button", { name: "Discard" }).click();
  await row(xena.page, "Rowers").waitFor({ state: "detached" });
  await will.close();
  await xena.close();
});

test("who has gone is not shown as here, in the list either", async () => {
  const lea = await logIn(browser, server, "lea");
  const max = await logIn(browser, server, "max");
  const nil = await logIn(browser, server, "nil");
  const { page } = lea;
  await page.clock.install();
  await begin(page, "max");
  await row(page, "max").locator(".online").waitFor({ state: "attached" });
  await begin(page, "nil");
  await max.close();
  await until("max is gone", async () => {
    await page.clock.runFor(61_000);
    return row(page, "max").locator(".online").count();
  }, (n) => n === 0);
  assert.deepEqual(lea.errors, []);
  await lea.close();
  await nil.close();
});

test("to log out forgets what was begun", async () => {
  const oto = await logIn(browser, server, "oto");
  const pia = await logIn(browser, server, "pia");
  const { page } = oto;
  await begin(page, "pia");
  await page.getByLabel("Message", { exact: true }).fill("for nobody's eyes");
  await menu(page, "Log out");
  await page.getByRole("button", { name: "Log out", exact: true }).click();
  await page.getByText("Who are you?").waitFor();
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), []);
  await oto.close();
  await pia.close();
});

test("the login offers whom the server names, and a token where it names nobody", async () => {
  const demo = await browser.newPage();
  await demo.route("**/v1/dev/users", (r) => r.fulfill({ json: { users: ["maya", "priya"] } }));
  await demo.goto(server.url);
  await demo.getByRole("button", { name: "priya" }).click();
  await demo.getByRole("heading", { name: "Chats" }).waitFor();
  await demo.close();

  const strict = await browser.newPage();
  await strict.route("**/v1/dev/**", (r) => r.fulfill({ status: 404 }));
  await strict.goto(server.url);
  await strict.getByLabel("Token").fill(server.token("maya"));
  assert.equal(await strict.getByRole("button", { name: "Log in as a demo user" }).count(), 0);
  await strict.getByRole("button", { name: "Log in", exact: true }).click();
  await strict.getByRole("heading", { name: "Chats" }).waitFor();
  await strict.close();
});
