// What goes wrong in browsers: wrong clocks, storage that is cleared or full.
import assert from "node:assert/strict";
import { cpSync, renameSync, rmSync } from "node:fs";
import { after, before, test } from "node:test";
import { begin, bubble, Device, launch, logIn, mark, online, open, texts, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

let server, browser, bob;

before(async () => {
  server = await startServer();
  browser = await launch();
  bob = await logIn(browser, server, "bob");
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

for (const [name, days] of [["ahead", 1], ["behind", -1]]) {
  test(`a clock that is a day ${name} does no harm`, async () => {
    const user = `clock-${name}`;
    const d = await Device.open(browser, server);
    await d.context.addInitScript((ms) => {
      const Real = Date;
      globalThis.Date = class extends Real {
        constructor(...a) { if (a.length === 0) super(Real.now() + ms); else super(...a); }
        static now() { return Real.now() + ms; }
      };
    }, days * 86_400_000);
    await d.page.reload();
    await d.page.getByLabel("Name", { exact: true }).fill(user);
    await d.page.getByRole("button", { name: "Log in", exact: true }).click();
    await online(d.page);
    await begin(d.page, "bob");
    await write(d.page, "what time is it?");
    await open(bob.page, user);
    await mark(d.page, "what time is it?", "read");
    await write(bob.page, "late");
    await bubble(d.page, "late").waitFor();
    assert.deepEqual(await texts(d.page), ["what time is it?", "late"]);
    assert.deepEqual(d.errors, []);
    await d.close();
  });
}

test("storage that is cleared is said, and nothing is sent twice", async () => {
  const ann = await logIn(browser, server, "ann");
  await begin(ann.page, "bob");
  await write(ann.page, "before");
  await open(bob.page, "ann");
  await mark(ann.page, "before", "read");
  await ann.page.evaluate(async () => {
    for (const { name } of await indexedDB.databases()) await new Promise((done) => { indexedDB.deleteDatabase(name).onsuccess = done; });
  });
  await ann.page.reload();
  await online(ann.page);
  await write(ann.page, "after");
  await mark(ann.page, "after", "read");
  assert.deepEqual((await texts(bob.page)), ["before", "after"]);
  assert.deepEqual((await texts(ann.page)), ["before", "after"]);
  await ann.close();
});

test("a browser that is full says so, keeps the text, and goes on when there is room", async () => {
  const cem = await logIn(browser, server, "cem");
  await begin(cem.page, "bob");
  await write(cem.page, "first");
  await mark(cem.page, "first", "delivered");
  // The client's own tests fill a real browser; here it only answers as a full one.
  await cem.page.evaluate(() => {
    const put = IDBObjectStore.prototype.put;
    globalThis.full = true;
    IDBObjectStore.prototype.put = function (...a) {
      if (globalThis.full) throw new DOMException("no room", "QuotaExceededError");
      return put.apply(this, a);
    };
  });
  const field = cem.page.getByLabel("Message", { exact: true });
  await field.fill("full full");
  await field.press("Enter");
  await cem.page.getByText("This browser has no room left").first().waitFor();
  await until("the text is still there", () => field.inputValue(), (t) => t === "full full");
  await cem.page.evaluate(() => { globalThis.full = false; });
  await field.fill("second");
  await field.press("Enter");
  await mark(cem.page, "second", "delivered");
  await open(bob.page, "cem");
  assert.deepEqual(await texts(bob.page), ["first", "second"]);
  await cem.close();
});

test("a server that was put back from a backup: the notice, and what was lost can be sent again", async () => {
  const dora = await logIn(browser, server, "dora");
  await begin(dora.page, "bob");
  await write(dora.page, "in the backup");
  await open(bob.page, "dora");
  await mark(dora.page, "in the backup", "read");
  await server.kill();
  cpSync(server.data, `${server.data}-backup`, { recursive: true });
  await server.start();
  await write(dora.page, "after the backup");
  await mark(dora.page, "after the backup", "read");
  await server.kill();
  rmSync(server.data, { recursive: true });
  renameSync(`${server.data}-backup`, server.data);
  await server.start();
  await dora.page.getByText("The server was restored from a backup").first().waitFor();
  await until("only what is left is shown", () => texts(bob.page), (t) => t.join() === "in the backup");
  await dora.page.getByRole("button", { name: "Send again" }).click();
  await mark(dora.page, "after the backup", "read");
  assert.deepEqual(await texts(bob.page), ["in the backup", "after the backup"]);
  await dora.close();
});
