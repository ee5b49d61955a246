// In Chromium: what IndexedDB keeps, and tabs that are one device.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { after, before, test } from "node:test";
import { chromium, type BrowserContext, type Page } from "playwright-core";
import type { AnyEvent, Client, Options } from "../src/index.js";
import { Fake, message, room, sent, sleep, state, textsOf, tokenOf, type FakeConnection } from "./fake.js";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** What the page keeps between two words of a test. */
interface Window {
  parley: typeof import("../src/index.js");
  c: Client;
  events: AnyEvent[];
}

let context: BrowserContext;
let dir: string;
let server: Server;
let origin: string;

before(async () => {
  const module = readFileSync(process.env.PARLEY_JS + "dist/index.js");
  server = createServer((q, r) => {
    if (q.url === "/client.js") r.setHeader("Content-Type", "text/javascript").end(module);
    else r.setHeader("Content-Type", "text/html").end('<!doctype html><title>t</title><script type="module">window.parley = await import("/client.js")</script>');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  dir = mkdtempSync(tmpdir() + "/parley-js-");
  context = await chromium.launchPersistentContext(dir, { executablePath, headless: true, args });
});

after(async () => {
  await context.close();
  server.close();
  rmSync(dir, { recursive: true, force: true });
});

async function tab(): Promise<Page> {
  const page = await context.newPage();
  page.on("pageerror", (e) => console.error("in the page:", e));
  await page.goto(origin);
  await page.waitForFunction(() => (window as unknown as Window).parley);
  return page;
}

/** Opens a client in a tab. */
async function open(page: Page, fake: Fake, options: Partial<Options> = {}): Promise<void> {
  await page.evaluate(async ([url, token, options]) => {
    const w = window as unknown as Window;
    w.c = await w.parley.Client.open({ url, token: () => token, ...options });
    w.events = [];
    for (const n of ["messages", "draft", "trouble", "leader", "stopped", "gone"] as const) w.c.on(n, (e) => w.events.push(e));
  }, [fake.url, tokenOf("ann"), options] as const);
}

const send = (page: Page, text: string): Promise<void> => page.evaluate(async ([id, text]) => void (await (window as unknown as Window).c.send(id, text)), [room(), text] as const);
const drafts = (page: Page): Promise<string[]> => page.evaluate((id) => (window as unknown as Window).c.drafts(id).map((d) => `${d.text} ${d.status}`), room());
const leads = (page: Page): Promise<boolean> => page.evaluate(() => (window as unknown as Window).c.leader);
const status = (page: Page): Promise<string> => page.evaluate(() => (window as unknown as Window).c.connection.status);
const told = (page: Page): Promise<(string | undefined)[]> =>
  page.evaluate(() => (window as unknown as Window).events.flatMap((e) => (e.type === "messages" ? e.items.map((i) => (i.type === "message" ? i.text : "")) : [])));
const count = (page: Page, type: string): Promise<number> => page.evaluate((type) => (window as unknown as Window).events.filter((e) => e.type === type).length, type);

async function eventually<T>(what: string, get: () => Promise<T>, want: T, ms = 5_000): Promise<void> {
  let got: T | undefined;
  for (const end = performance.now() + ms; performance.now() < end; await sleep(20)) {
    got = await get();
    try {
      assert.deepEqual(got, want);
      return;
    } catch {
      // Not yet.
    }
  }
  assert.deepEqual(got, want, what);
}

async function welcome(fake: Fake, w: Parameters<FakeConnection["welcome"]>[0] = {}, states = [state()]): Promise<FakeConnection> {
  const s = await fake.accept(10_000);
  s.states = states;
  s.welcome(w);
  return s;
}

/** Runs a test with a server and tabs, which it closes. */
function inTabs(n: number, run: (fake: Fake, ...tabs: Page[]) => Promise<void>): () => Promise<void> {
  return async () => {
    const fake = await Fake.start();
    const tabs: Page[] = [];
    for (let i = 0; i < n; i++) tabs.push(await tab());
    try {
      await run(fake, ...tabs);
    } finally {
      for (const page of context.pages()) if (page.url().startsWith(origin)) await page.close();
      await fake.stop();
    }
  };
}

test("drafts and messages survive the page, and are there before any connection", inTabs(1, async (fake, page) => {
  await open(page, fake);
  const s = await welcome(fake);
  s.say({ message: message(1, { text: "<b>hi</b>" }) });
  await eventually("told", () => told(page), ["<b>hi</b>"]);
  await send(page, "one");
  await send(page, "two");
  const [one] = await s.sends(2);
  const device = s.device;
  s.reply(one!, sent(2));
  await eventually("sent", () => drafts(page), ["two queued"]);
  await page.close();

  const again = await tab();
  await open(again, fake);
  assert.deepEqual(await drafts(again), ["two queued"]);
  assert.equal(await again.evaluate(() => (window as unknown as Window).c.conversations()[0]!.preview!.text), "one");
  const held = await again.evaluate(async (id) => (await (window as unknown as Window).c.messages(id)).items.map((i) => (i.type === "message" ? i.text : "")), room());
  assert.deepEqual(held, ["<b>hi</b>", "one"]);
  const s2 = await welcome(fake, { stream: 9n }, [state({ last: 2, version: 3, ordinal: 2, own: 1 })]);
  assert.equal(s2.device, device);
  const [two] = await s2.sends(1);
  assert.deepEqual([two!.send!.stream, ...textsOf([two!])], [7n, "2 two"]);
}));

test("tabs share one session: both show the same, and both send", inTabs(2, async (fake, a, b) => {
  await open(a, fake);
  const s = await welcome(fake);
  await open(b, fake);
  assert.deepEqual([await leads(a), await leads(b)], [true, false]);
  s.say({ message: message(1) });
  for (const page of [a, b]) await eventually("told", () => told(page), ["m1"]);
  await send(b, "from b");
  const [r] = await s.sends(1);
  for (const page of [a, b]) assert.deepEqual(await drafts(page), ["from b queued"]);
  s.reply(r!, sent(2));
  for (const page of [a, b]) {
    await eventually("told", () => told(page), ["m1", "from b"]);
    assert.deepEqual(await drafts(page), []);
    assert.equal(await status(page), "online");
  }
  // What each watches is joined; a tab that goes takes its part along.
  s.auto.watch = false;
  await a.evaluate((id) => (window as unknown as Window).c.watch([id]), room());
  s.reply(await s.request(), { presences: {} });
  await b.evaluate((id) => (window as unknown as Window).c.watch([id]), room(2));
  const both = await s.request();
  assert.equal(both.watch!.conversations.length, 2);
  await b.close();
  assert.equal((await s.request()).watch!.conversations.length, 1);
  assert.equal(fake.connections, 1);
}));

test("when the tab that leads is closed, another takes over with all drafts", inTabs(3, async (fake, a, b, c) => {
  for (const page of [a, b, c]) await open(page, fake);
  const s = await welcome(fake);
  await eventually("online", () => status(c), "online");
  await send(a, "one");
  await send(b, "two");
  await s.sends(2);
  await a.close();
  const s2 = await welcome(fake);
  assert.deepEqual(textsOf(await s2.sends(2)), ["1 one", "2 two"]);
  assert.equal(s2.device, s.device);
  const leader = (await leads(b)) ? b : c;
  const other = leader === b ? c : b;
  assert.equal(await leads(other), false);
  assert.deepEqual(await drafts(other), ["one queued", "two queued"]);
  await send(other, "three");
  assert.deepEqual(textsOf(await s2.sends(1)), ["3 three"]);
  // A close in good order does the same.
  await leader.evaluate(() => void (window as unknown as Window).c.close());
  const s3 = await welcome(fake);
  assert.deepEqual(textsOf(await s3.sends(3)), ["1 one", "2 two", "3 three"]);
  await eventually("leads", () => leads(other), true);
}));

test("a send into a tab that is going is kept, once", inTabs(2, async (fake, a, b) => {
  await open(a, fake);
  const s = await welcome(fake);
  await open(b, fake);
  const sending = b.evaluate(async (id) => {
    const w = window as unknown as Window;
    return Promise.all(Array.from({ length: 50 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 4));
      return (await w.c.send(id, String(i))).id;
    }));
  }, room());
  await sleep(60);
  await a.close({ runBeforeUnload: false });
  const s2 = await welcome(fake);
  const ids = await sending;
  assert.equal(new Set(ids).size, 50);
  const got = textsOf(await s2.sends(50)).map((t) => t.split(" "));
  assert.deepEqual(got.map(([n]) => Number(n)), Array.from({ length: 50 }, (_, i) => i + 1));
  assert.deepEqual(new Set(got.map(([, t]) => t)).size, 50);
  await s2.silent(100);
  void s;
}));

test("a tab that is frozen loses the lead, and does no harm when it wakes", inTabs(2, async (fake, a, b) => {
  await open(a, fake);
  const s = await welcome(fake);
  await open(b, fake);
  const frozen = a.evaluate(() => {
    const w = window as unknown as Window;
    void w.c.send("0".repeat(31) + "1", "from the frozen");
    for (const end = performance.now() + 14_000; performance.now() < end; );
  });
  await sleep(100);
  await send(b, "one"); // taken over from, after a while in which the leader says nothing
  assert.equal(await leads(b), true);
  const s2 = await welcome(fake);
  assert.deepEqual(textsOf(await s2.sends(1)), ["1 one"]);
  s2.say({ message: message(1) });
  await frozen;
  await eventually("stepped down", () => leads(a), false);
  await eventually("follows", async () => (await drafts(a)).sort().join(), "from the frozen queued,one queued", 8_000);
  assert.deepEqual(textsOf(await s2.sends(1)), ["2 from the frozen"]);
  await eventually("told", () => told(b), ["m1"]);
  assert.equal(await status(a), "online");
  assert.equal(fake.connections, 2);
  void s;
}));

test("a call that the tab that leads can not answer any more is answered by the next", inTabs(2, async (fake, a, b) => {
  await open(a, fake);
  const s = await welcome(fake);
  await open(b, fake);
  const devices = b.evaluate(async () => (await (window as unknown as Window).c.devices()).length);
  assert.ok((await s.request()).devices);
  await a.evaluate(() => (window as unknown as Window).c.close());
  const s2 = await welcome(fake);
  s2.reply(await s2.request(), { devices: { devices: [{ name: "one" }] } });
  assert.equal(await devices, 1);
}));

test("what a tab says that does not lead changes nothing, and a value of a framework can be asked with", inTabs(2, async (fake, a, b) => {
  await open(a, fake);
  const s = await welcome(fake);
  await open(b, fake);
  await eventually("online", () => status(b), "online");
  const got = await b.evaluate(async ([name, id]) => {
    const w = window as unknown as Window;
    const channel = new BroadcastChannel(name!);
    channel.postMessage({ kind: "patch", from: "one that woke up", patch: { connection: { status: "offline" } } });
    await new Promise((resolve) => setTimeout(resolve, 100));
    channel.close();
    w.c.previews(new Proxy([id!], {}));
    return [w.c.connection.status, (await w.c.history(id!, new Proxy({ limit: 5 }, {}))).items.length];
  }, [`parley ${new URL(fake.url).host} ann`, room()]);
  assert.deepEqual(got, ["online", 0]);
  void s;
}));

test("a store that somebody else loaded is loaded again", inTabs(1, async (fake, page) => {
  await open(page, fake);
  const s = await welcome(fake);
  await send(page, "one");
  await s.sends(1);
  await page.evaluate((name) => new (window as unknown as Window).parley.IndexedDBStore(name).load(), `parley ${new URL(fake.url).host} ann`);
  s.say({ message: message(1) });
  const s2 = await welcome(fake);
  assert.deepEqual(textsOf(await s2.sends(1)), ["1 one"]);
  assert.equal(await count(page, "stopped"), 0);
}));

test("storage that was cleared: a new device and a new stream", inTabs(1, async (fake, page) => {
  await open(page, fake);
  const s = await welcome(fake);
  await send(page, "one");
  const [one] = await s.sends(1);
  assert.equal(one!.send!.stream, 7n);
  await page.close();
  const other = await tab();
  await clear(other);
  await open(other, fake);
  assert.deepEqual(await drafts(other), []);
  const s2 = await welcome(fake, { stream: 8n }, [state({ last: 1, version: 2 })]);
  assert.notEqual(s2.device, s.device);
  await send(other, "two");
  const r = (await s2.sendOf())!;
  assert.deepEqual([r.send!.stream, ...textsOf([r])], [8n, "1 two"]);
}));

test("storage that is cleared under the client: it says so, loses nothing, and sends nothing twice", inTabs(1, async (fake, page) => {
  await open(page, fake);
  const s = await welcome(fake);
  await send(page, "one");
  await s.sends(1);
  await clear(page);
  await send(page, "two");
  assert.equal(await count(page, "trouble"), 1);
  assert.deepEqual(textsOf(await s.sends(1)), ["2 two"]);
  await page.close();
  const again = await tab();
  await open(again, fake);
  assert.deepEqual(await drafts(again), ["one queued", "two queued"]);
  const s2 = await welcome(fake, { stream: 8n });
  const rs = await s2.sends(2);
  assert.deepEqual([rs[0]!.send!.stream, ...textsOf(rs)], [7n, "1 one", "2 two"]);
}));

test("a full browser refuses to send, and says so", inTabs(1, async (fake, page) => {
  await clear(page);
  const cdp = await context.newCDPSession(page);
  await cdp.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 4_000_000 });
  await open(page, fake);
  await welcome(fake, { bodyMax: 1 << 24 });
  await eventually("online", () => status(page), "online");
  const code = await page.evaluate(async (id) => {
    const w = window as unknown as Window;
    for (let i = 0; i < 20; i++) {
      try {
        await w.c.send(id, { kind: "image", data: new Uint8Array(500_000).map(() => Math.random() * 256) });
      } catch (e) {
        return `${(e as Error).name} ${(e as { code: string }).code}`;
      }
    }
    return "all were taken";
  }, room());
  await cdp.send("Storage.overrideQuotaForOrigin", { origin });
  assert.equal(code, "StoreError store_full");
  assert.ok((await count(page, "trouble")) > 0);
  assert.notEqual(await status(page), "stopped");
  assert.ok((await drafts(page)).length > 0);
}));

test("erase closes every tab's client, and leaves nothing", inTabs(2, async (fake, a, b) => {
  await open(a, fake);
  const s = await welcome(fake);
  await open(b, fake);
  await send(a, "one");
  await s.sends(1);
  await b.evaluate(() => (window as unknown as Window).c.erase());
  await eventually("stopped", () => count(a, "stopped"), 1);
  s.say({ message: message(1) });
  await sleep(200); // what the tab that led heard since is not kept either
  const there = await a.evaluate(async () => (await indexedDB.databases()).map((d) => d.name!));
  assert.ok(!there.includes(`parley ${new URL(fake.url).host} ann`), String(there));
  await open(a, fake);
  const s2 = await welcome(fake);
  assert.notEqual(s2.device, s.device);
}));

test("without locks each tab is a device of its own, in memory", inTabs(1, async (fake, page) => {
  await page.evaluate(() => Object.defineProperty(navigator, "locks", { value: undefined }));
  await open(page, fake);
  await welcome(fake);
  assert.deepEqual(await page.evaluate(() => [(window as unknown as Window).c.durable, (window as unknown as Window).c.leader]), [false, true]);
}));

test("10,000 conversations open at once", inTabs(1, async (fake, page) => {
  await open(page, fake);
  const s = await fake.accept();
  s.auto.sync = false;
  s.welcome();
  for (let n = 0; n < 10_000; n += 200) {
    const r = await s.request(10_000);
    s.reply(r, s.page(Array.from({ length: 200 }, (_, i) => state({ n: n + i + 1, title: "x".repeat(30), changed: (n + i + 1) * 1e6 })), { more: n < 9_800 }));
  }
  await eventually("online", () => status(page), "online", 20_000);
  await page.close();
  const again = await tab();
  await open(again, fake);
  assert.equal(await again.evaluate(() => (window as unknown as Window).c.conversations().length), 10_000);
}));

/** Clears what the origin has stored, as a user would. */
async function clear(page: Page): Promise<void> {
  const cdp = await context.newCDPSession(page);
  await cdp.send("Storage.clearDataForOrigin", { origin, storageTypes: "indexeddb" });
}


test("where IndexedDB is forbidden, the device is in memory, and says so", inTabs(1, async (fake, page) => {
  await page.evaluate(() => {
    IDBFactory.prototype.open = () => {
      throw new DOMException("forbidden", "SecurityError");
    };
  });
  await open(page, fake);
  await welcome(fake);
  await eventually("online", () => status(page), "online");
  assert.equal(await page.evaluate(() => (window as unknown as Window).c.durable), false);
}));

test("of two that believe to lead, the store hears the later one alone", inTabs(1, async (fake, page) => {
  const codes = await page.evaluate(async () => {
    const { IndexedDBStore, StoreError } = (window as unknown as Window).parley;
    const [old, later] = [new IndexedDBStore("fence"), new IndexedDBStore("fence")];
    const changes = { conversations: [], lanes: [], drafts: [], dropped: ["x"], gone: [], cut: [], messages: [] };
    const code = (e: unknown) => (e instanceof StoreError ? e.code : String(e));
    await old.load();
    const first = await old.apply(changes).then(() => "taken", code);
    await later.load();
    const all = [first, await old.apply(changes).then(() => "taken", code), await later.apply(changes).then(() => "taken", code)];
    await later.erase();
    return all;
  });
  assert.deepEqual(codes, ["taken", "replaced", "taken"]);
  void fake;
}));
