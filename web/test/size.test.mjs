// What a first visit loads.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Device, launch } from "./browser.mjs";
import { startServer } from "./server.mjs";

const most = 200 * 1024; // bytes, packed

let server, browser;

before(async () => {
  server = await startServer();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

test("the first load is at most 200 KiB, packed, and nothing comes from elsewhere", async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  const urls = [];
  let bytes = 0;
  session.on("Network.requestWillBeSent", (e) => urls.push(e.request.url));
  session.on("Network.loadingFinished", (e) => { bytes += e.encodedDataLength; });
  await page.goto(server.url);
  await page.getByLabel("Name", { exact: true }).waitFor();
  await page.waitForLoadState("networkidle");
  assert.deepEqual(urls.filter((u) => !u.startsWith(server.url) && !u.startsWith("data:")), []);
  assert.ok(bytes > 10_000 && bytes <= most, `${bytes} bytes`);
  console.log(`first load: ${(bytes / 1024).toFixed(1)} KiB in ${urls.length} requests`);
});

test("the policy allows no script but the page's own", async () => {
  const policy = (await fetch(server.url)).headers.get("content-security-policy");
  for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) assert.ok(policy.includes(rule), policy);
  const d = await Device.open(browser, server);
  const refused = await d.page.evaluate(() => new Promise((done) => {
    document.addEventListener("securitypolicyviolation", (e) => done(e.violatedDirective), { once: true });
    const s = document.createElement("script");
    s.textContent = "window.ran = true";
    document.body.append(s);
  }));
  assert.match(refused, /^script-src/);
});
