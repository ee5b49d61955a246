// A page that is closed while one writes, with the server killed meanwhile: what has
// left the field is in the outbox, or in the field again. Nothing is lost between.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begin, launch, logIn, online, open, texts, title, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

const rounds = process.env.LONG === "1" ? 20 : 3;
const each = 5; // messages of each in a round

let server, browser, ann, bob;

before(async () => {
  server = await startServer();
  browser = await launch();
  bob = await logIn(browser, server, "bob");
  ann = await logIn(browser, server, "ann");
  await begin(ann.page, "bob");
  await write(ann.page, "start");
  await open(bob.page, "ann");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const tryNow = (page) => page.getByRole("button", { name: "Try now" }).click({ timeout: 500 }).catch(() => undefined);

for (let round = 1; round <= rounds; round++) {
  test(`round ${round} of ${rounds}: nothing missing, nothing twice, one order`, async () => {
    const address = ann.page.url();
    const own = (p) => Array.from({ length: each }, (_, i) => `${p.user} ${round}.${i + 1}`);
    const writing = [ann, bob].map(async (p) => {
      for (const text of own(p)) await write(p.page, text);
    });
    await writing[0];
    await ann.page.goto("about:blank"); // at once after the last Enter
    await server.kill();
    await writing[1];
    await server.start();
    await ann.page.goto(address);
    await title(ann.page, "bob");
    const field = ann.page.getByLabel("Message", { exact: true });
    const left = await field.inputValue();
    if (left) {
      assert.ok(own(ann).join("\n").endsWith(left), left);
      await ann.page.waitForTimeout(500); // it may be safe all the same: then it shows
      for (const text of left.split("\n")) if (!(await texts(ann.page)).includes(text)) await write(ann.page, text);
      await field.fill("");
    }
    const sent = [...own(ann), ...own(bob)];
    const shown = async (p) => (await texts(p.page)).filter((t) => sent.includes(t));
    let order;
    for (const p of [ann, bob]) {
      await tryNow(p.page);
      await online(p.page);
      const now = await until(`all of it on ${p.user}'s screen`, () => shown(p), (all) => all.length >= sent.length);
      assert.deepEqual(now, order ??= now, `${p.user}'s screen`);
    }
    assert.deepEqual([...order].sort(), [...sent].sort(), "each of them once");
    for (const p of [ann, bob]) assert.deepEqual(order.filter((t) => t.startsWith(`${p.user} `)), own(p), `${p.user}'s own order`);
  });
}

test("nothing was complained about", () => {
  assert.deepEqual([...ann.errors, ...bob.errors], []);
});
