// The connection goes, the server is killed: everything arrives, once and in order.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begin, launch, logIn, mark, open, row, texts, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

const long = process.env.LONG === "1"; // offline for a minute, killed five times

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

const banner = (page) => page.locator(".banner");
const tryNow = (page) => page.getByRole("button", { name: "Try now" }).click({ timeout: 3000 }).catch(() => undefined);

async function both(what, sent) {
  for (const d of [ann, bob]) {
    await until(`${what}, on ${d.user}'s screen`, async () => (await texts(d.page)).filter((t) => sent.includes(t)), (t) => t.length >= sent.length);
    assert.deepEqual((await texts(d.page)).filter((t) => sent.includes(t)), sent, `${what}, on ${d.user}'s screen`);
  }
}

test("offline: what is written waits in sight, and goes out in order", async () => {
  await server.kill();
  await banner(ann.page).getByText("No connection to the server").waitFor();
  const sent = [];
  for (let i = 1; i <= 5; i++) {
    sent.push(`offline ${i}`);
    await write(ann.page, `offline ${i}`);
  }
  await mark(ann.page, "offline 5", "queued");
  await row(ann.page, "bob").locator('[data-mark="queued"]').waitFor();
  if (long) await ann.page.waitForTimeout(60_000);
  const address = ann.page.url();
  await ann.page.goto("about:blank"); // a page that is closed while offline loses nothing
  await server.start();
  await ann.page.goto(address);
  await tryNow(bob.page);
  await both("after the outage", sent);
  await mark(ann.page, "offline 5", "read");
  await until("no banner", () => banner(ann.page).count(), (n) => n === 0);
});

test("the browser offline: the banner says so, and it comes back by itself", async () => {
  await ann.context.setOffline(true);
  await ann.page.evaluate(() => dispatchEvent(new Event("offline")));
  await write(ann.page, "from the tunnel");
  await ann.context.setOffline(false);
  await both("after the tunnel", ["from the tunnel"]);
});

test("the server is killed in the middle of sends: nothing missing, nothing twice", async () => {
  const sent = [];
  for (let round = 1; round <= (long ? 5 : 2); round++) {
    for (let i = 1; i <= 12; i++) {
      sent.push(`round ${round} message ${i}`);
      await write(ann.page, sent.at(-1));
      if (i === 6) await server.kill();
    }
    await server.start();
    await Promise.all([tryNow(ann.page), tryNow(bob.page)]);
    await mark(ann.page, sent.at(-1), "read");
  }
  await both("after the kills", sent);
});

test("nothing was complained about", () => {
  assert.deepEqual([...ann.errors, ...bob.errors], []);
});
