// What people do all day, in the small.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begin, launch, logIn, mark, open, row, texts, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

let browser, server;
before(async () => { browser = await launch(); server = await startServer(); });
after(async () => { await browser?.close(); await server?.stop(); });

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
