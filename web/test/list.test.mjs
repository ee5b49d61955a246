// A list of very many conversations: 500 in the short form, 10,000 with LONG=1.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, logIn, title, until } from "./browser.mjs";
import { startServer } from "./server.mjs";

const count = process.env.LONG === "1" ? 10_000 : 500;

let server, browser, ann;

before(async () => {
  server = await startServer();
  browser = await launch();
  ann = await logIn(browser, server, "ann");
  await fill();
}, { timeout: 120_000 });

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** fill has ann make groups, over a socket of its own. */
async function fill() {
  const { token } = await (await fetch(`${server.url}/v1/dev/token`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user: "ann" }) })).json();
  await ann.page.evaluate(({ token, count }) => new Promise((done, fail) => {
    const ws = new WebSocket(`ws://${location.host}/ws`, ["parley.v1.json", `parley.token.${token}`]);
    let sent = 0, made = 0;
    const more = () => {
      for (; sent < count && sent - made < 8; sent++) ws.send(`${JSON.stringify({ id: sent + 1, create: { title: `Group ${sent + 1}` } })}\n`);
    };
    ws.onclose = (e) => fail(new Error(`closed with ${e.code}`));
    ws.onmessage = ({ data }) => {
      for (const line of data.trim().split("\n")) {
        const m = JSON.parse(line);
        if (m.error) return fail(new Error(JSON.stringify(m.error)));
        if (m.replyTo && ++made === count) { ws.onclose = null; ws.close(); return done(); }
      }
      more();
    };
  }), { token, count });
}

test("only the rows in sight are in the page, and all can be reached", { timeout: 120_000 }, async () => {
  const { page } = ann;
  await page.reload();
  await until("all are listed", () => page.locator("[aria-setsize]").first().getAttribute("aria-setsize").then(Number), (n) => n === count);
  const rows = () => page.locator(".conversation").count();
  assert.ok(await rows() < 40, `${await rows()} rows`);
  await page.locator(".conversation").first().focus();
  await page.keyboard.press("End");
  const last = await until("the last row has the focus", () => page.evaluate(() => document.activeElement.querySelector(".name")?.textContent ?? ""), (n) => /^Group \d{1,2}$/.test(n));
  assert.ok(await rows() < 40, `${await rows()} rows`);
  await page.keyboard.press("Enter");
  await title(page, last);
});

test("a search finds one of them at once", async () => {
  const { page } = ann;
  await page.getByLabel("Search conversations").fill(`group ${count - 7}`);
  await until("it is found", () => page.locator(".conversation .name").allInnerTexts(), (t) => t.length === 1 && t[0] === `Group ${count - 7}`);
  await page.keyboard.press("Enter");
  await title(page, `Group ${count - 7}`);
});

test("a message to one of them moves it to the top without a long task", async () => {
  const { page } = ann;
  await page.evaluate(() => {
    window.long = [];
    new PerformanceObserver((l) => l.getEntries().forEach((e) => window.long.push(Math.round(e.duration)))).observe({ type: "longtask" });
  });
  await page.getByLabel("Search conversations").fill("");
  await page.getByLabel("Message", { exact: true }).fill("hello all");
  await page.keyboard.press("Enter");
  await page.locator(".rows").evaluate((e) => { e.scrollTop = 0; });
  await until("it is the first", () => page.locator(".conversation").first().innerText(), (t) => t.includes(`Group ${count - 7}`) && t.includes("hello all"));
  const long = await page.evaluate(() => window.long);
  console.log(`${count} conversations: long tasks ${JSON.stringify(long)}`);
  assert.deepEqual(ann.errors, []);
});
