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
