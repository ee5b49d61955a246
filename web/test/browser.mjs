// A real Chromium, and what people do in it.
import { chromium } from "playwright-core";

const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** late is when a step is given up. */
export const late = 15_000;

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });

/** Device is one browser of a user: storage of its own, and tabs. */
export class Device {
  static async open(browser, server, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", reducedMotion: "reduce", ...options });
    context.setDefaultTimeout(late);
    const d = new Device(context, server);
    d.page = await d.tab();
    return d;
  }

  constructor(context, server) {
    Object.assign(this, { context, server, errors: [] });
  }

  /** tab opens one more tab of the browser. Whatever a page complains about is kept. */
  async tab(hash = "") {
    const page = await this.context.newPage();
    page.on("pageerror", (e) => this.errors.push(String(e)));
    page.on("console", (m) => { if (m.type() === "error" && !/WebSocket|ERR_|Failed to load resource/.test(m.text())) this.errors.push(m.text()); });
    await page.goto(`${this.server.url}/${hash}`);
    return page;
  }

  close() {
    return this.context.close();
  }
}

/** logIn opens a browser and logs a demo user in. */
export async function logIn(browser, server, user, options) {
  const d = await Device.open(browser, server, options);
  d.user = user;
  await d.page.getByLabel("Name", { exact: true }).fill(user);
  await d.page.getByRole("button", { name: "Log in", exact: true }).click();
  await d.page.getByRole("heading", { name: "Chats" }).waitFor();
  await online(d.page);
  return d;
}

/** online waits until the list is in step with the server. */
export const online = (page) => page.waitForFunction(() => !document.querySelector(".banner, .skeleton-row"), null, { timeout: late });

/** begin begins a direct conversation. */
export async function begin(page, user) {
  await page.getByRole("button", { name: "New conversation" }).first().click();
  await page.getByLabel("With whom").fill(user);
  await page.keyboard.press("Enter");
  await title(page, user);
}

export const title = (page, text) => page.locator(".chat-bar .title", { hasText: text }).waitFor();

/** open opens a conversation of the list. */
export async function open(page, name) {
  await row(page, name).click();
  await title(page, name);
}

export const row = (page, name) => page.locator(".conversation", { has: page.locator(".name", { hasText: name }) });

/** write sends a message as one does at a keyboard; on a phone Enter only makes a line. */
export async function write(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  if (await page.evaluate(() => matchMedia("(pointer: coarse)").matches)) await page.getByRole("button", { name: "Send", exact: true }).click();
  else await page.keyboard.press("Enter");
}

/** bubble is the last message of a text; drafts are among them. */
export const bubble = (page, text) => page.locator(".bubble", { hasText: text }).last();

/** mark waits until an own message has come so far: queued, sent, delivered, read, failed. */
export const mark = (page, text, how) => bubble(page, text).locator(`[data-mark="${how}"]`).waitFor({ state: "attached" });

/** texts are the messages shown, in their order, without what stands around them. */
export const texts = (page) => page.locator(".bubble .body").evaluateAll((all) =>
  all.map((p) => [...p.childNodes].filter((n) => !(n instanceof Element && n.matches(".meta"))).map((n) => n.textContent).join("")));

/** until waits for a state of the page, and says what was there instead. */
export async function until(what, look, good) {
  const end = Date.now() + late;
  let last;
  for (;;) {
    last = await look();
    if (good(last)) return last;
    if (Date.now() > end) throw new Error(`${what}: ${JSON.stringify(last)?.slice(0, 2000)}`);
    await new Promise((r) => setTimeout(r, 50));
  }
}

/** menu chooses from the menu of the list. */
export async function menu(page, item) {
  await page.getByRole("button", { name: "Menu", exact: true }).click();
  await page.getByRole("menuitem", { name: item }).click();
}
