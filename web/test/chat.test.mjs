// Two people talk: what each writes is on the other's screen, and the ticks tell.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begin, bubble, launch, logIn, mark, online, open, row, texts, title, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser, ann, bob;

before(async () => {
  server = await startServer();
  browser = await launch();
  bob = await logIn(browser, server, "bob");
  ann = await logIn(browser, server, "ann");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a message arrives, and its ticks turn blue when it is read", async () => {
  await begin(ann.page, "bob");
  await write(ann.page, "hello bob");
  await mark(ann.page, "hello bob", "delivered"); // bob's list has it, and he has not looked
  await row(bob.page, "ann").locator(".badge", { hasText: "1" }).waitFor();
  assert.equal(await bob.page.title(), "(1) Parley");
  await open(bob.page, "ann");
  await bubble(bob.page, "hello bob").waitFor();
  await mark(ann.page, "hello bob", "read");
  await until("the badge goes", () => row(bob.page, "ann").locator(".badge").count(), (n) => n === 0);
  await until("the title", () => bob.page.title(), (t) => t === "Parley");
});

test("an answer comes, and the sender's name is said to screen readers", async () => {
  await write(bob.page, "hello ann");
  await bubble(ann.page, "hello ann").waitFor();
  await mark(bob.page, "hello ann", "read");
  await ann.page.locator('[role=log]', { hasText: "bob: hello ann" }).waitFor({ state: "attached" });
});

test("Shift and Enter makes a line, Enter sends", async () => {
  const field = ann.page.getByLabel("Message", { exact: true });
  await field.fill("two");
  await field.press("Shift+Enter");
  await field.pressSequentially("lines");
  await field.press("Enter");
  await bubble(bob.page, "lines").waitFor();
  assert.equal((await texts(bob.page)).at(-1), "two\nlines");
  assert.equal(await field.inputValue(), "");
});

test("a text begun is kept for its conversation, also through a reload", async () => {
  await ann.page.getByLabel("Message", { exact: true }).fill("not finished");
  await ann.page.getByRole("button", { name: "New conversation" }).click();
  await ann.page.getByLabel("With whom").fill("ann2");
  await ann.page.keyboard.press("Enter");
  await ann.page.getByText("Nobody called “ann2” has been here yet.").waitFor();
  await ann.page.keyboard.press("Escape");
  await ann.page.reload();
  await online(ann.page);
  await title(ann.page, "bob");
  assert.equal(await ann.page.getByLabel("Message", { exact: true }).inputValue(), "not finished");
  await ann.page.getByLabel("Message", { exact: true }).fill("");
});

test("what bob writes while ann is elsewhere stands under a line of its own", async () => {
  await ann.page.keyboard.press("Escape");
  await write(bob.page, "first news");
  await write(bob.page, "second news");
  await row(ann.page, "bob").locator(".badge", { hasText: "2" }).waitFor();
  await open(ann.page, "bob");
  await ann.page.locator(".unread-line").waitFor();
  const after = await ann.page.locator(".unread-line ~ li .bubble").allInnerTexts();
  assert.equal(after.length, 2);
});

test("nothing was complained about", () => {
  assert.deepEqual([...ann.errors, ...bob.errors], []);
});
