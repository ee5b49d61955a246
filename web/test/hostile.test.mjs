// What people write is text and nothing else, however long, and in any script.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begin, bubble, launch, logIn, mark, menu, open, row, texts, title, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

const markup = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"'\`&lt;`;

let server, browser, ann, bob;

before(async () => {
  server = await startServer();
  browser = await launch();
  bob = await logIn(browser, server, "bob");
  ann = await logIn(browser, server, "ann");
  await begin(ann.page, "bob");
  await write(ann.page, "hello");
  await open(bob.page, "ann");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("markup in a message, a name, a group's title, a search and a login is text", async () => {
  await write(ann.page, markup);
  await bubble(bob.page, "window.hacked").waitFor();
  assert.equal((await texts(bob.page)).at(-1), markup);
  assert.equal(await bob.page.locator(".messages img[src=x], .messages script, .list img[src=x]").count(), 0);

  await menu(ann.page, "New group");
  await ann.page.getByLabel("Name of the group").fill(markup);
  await ann.page.getByLabel("Add people by name").fill("bob");
  await ann.page.keyboard.press("Enter");
  await ann.page.getByRole("button", { name: "Make the group" }).click();
  await title(ann.page, "<img");
  await row(bob.page, "<img").waitFor();

  await ann.page.getByLabel("Search conversations").fill(markup);
  await until("the group is found", () => row(ann.page, "<img").count(), (n) => n === 1);
  await ann.page.getByLabel("Search conversations").fill(`${markup}?`);
  await ann.page.getByText("No conversation has “").waitFor();
  await ann.page.getByLabel("Search conversations").fill("");

  const eve = await logIn(browser, server, "<script>window.hacked=1</script>");
  await begin(eve.page, "bob");
  await write(eve.page, "boo");
  await row(bob.page, "<script>").first().waitFor();
  for (const d of [ann, bob, eve]) assert.equal(await d.page.evaluate(() => window.hacked), undefined);
  await eve.close();
});

test("links can be followed when they are http, and nothing else is one", async () => {
  await open(ann.page, "bob");
  await open(bob.page, "ann");
  await write(ann.page, "see https://example.com/a_(b)?q=1. javascript:alert(1) data:text/html,x (http://example.org/) Www.example.net/x, www. awww.y");
  await bubble(bob.page, "example.org").waitFor();
  const links = await bob.page.locator(".bubble .body a").evaluateAll((all) => all.map((a) => [a.href, a.rel, a.target]));
  assert.deepEqual(links, [
    ["https://example.com/a_(b)?q=1", "noopener noreferrer nofollow", "_blank"],
    ["http://example.org/", "noopener noreferrer nofollow", "_blank"],
    ["https://www.example.net/x", "noopener noreferrer nofollow", "_blank"],
  ]);
});

test("right to left, emoji and combining characters", async () => {
  for (const text of ["مرحبا, how are you?", "👩‍👩‍👧‍👦🇸🇪👍🏽", "Z͑ͫ̓ͪ̂ͫA̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ơ̵̹̻̝̳", "x".repeat(4000), "\u202Eevil\u202C fine"]) {
    await write(ann.page, text);
    await until(`it comes: ${text.slice(0, 20)}`, async () => (await bob.page.locator(".bubble .body").last().innerText()).slice(0, 2), (t) => t === text.slice(0, 2));
  }
  const direction = await bob.page.locator(".bubble .body", { hasText: "مرحبا" }).evaluate((p) => getComputedStyle(p).direction);
  assert.equal(direction, "rtl");
  await bob.page.locator(".bubble.emoji").waitFor();
  const wide = await bob.page.evaluate(() => document.querySelector(".messages").scrollWidth > document.querySelector(".messages").clientWidth || document.body.scrollWidth > innerWidth);
  assert.equal(wide, false, "nothing is wider than its pane");
});

test("the longest message goes through, and a longer one is refused before it is sent", async () => {
  const field = ann.page.getByLabel("Message", { exact: true });
  await field.fill("é".repeat(30_720) + "!");
  await ann.page.locator(".counter", { hasText: "-1 bytes left" }).waitFor();
  await field.press("Enter");
  await ann.page.getByRole("alert").getByText("too long: 1 bytes more").waitFor();
  await field.fill("ä".repeat(30_720));
  await ann.page.locator(".counter", { hasText: "0 bytes left" }).waitFor();
  await field.press("Enter");
  await bubble(bob.page, "äääää").waitFor();
  await mark(ann.page, "äääää", "read");
  await bob.page.getByRole("button", { name: "Show all" }).last().click();
  const shown = await bob.page.locator(".bubble .body").last().evaluate((p) => p.firstChild.textContent.length);
  assert.equal(shown, 30_720);
});

test("nothing was complained about", () => {
  assert.deepEqual([...ann.errors, ...bob.errors], []);
});
