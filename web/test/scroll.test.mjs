// A long history: 5,000 messages in the short form, 100,000 with LONG=1. What is on
// the screen stays where it is, few messages are in the page, and memory stays flat.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { begin, bubble, launch, logIn, open, until, write } from "./browser.mjs";
import { startServer } from "./server.mjs";

const long = process.env.LONG === "1";
const count = long ? 100_000 : 5_000;
const nodesMost = 300;

let server, browser, ann, bob;

before(async () => {
  server = await startServer();
  browser = await launch();
  bob = await logIn(browser, server, "bob");
  ann = await logIn(browser, server, "ann");
  await begin(ann.page, "bob");
  await fill(server, count);
}, { timeout: 300_000 });

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** fill has bob send that many messages to ann, over a socket of its own. */
async function fill(server, count) {
  const { token } = await (await fetch(`${server.url}/v1/dev/token`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user: "bob" }) })).json();
  await bob.page.evaluate(({ token, count }) => new Promise((done, fail) => {
    const ws = new WebSocket(`ws://${location.host}/ws`, ["parley.v1.json", `parley.token.${token}`]);
    let stream, conversation, sent = 0, answered = 0;
    const words = "so it was that on a day in the spring of the year nobody came and everybody knew why the long road was empty".split(" ");
    const text = (n) => `${n}: ${words.slice(n % 7, (n % 7) + 1 + (n * 7) % 16).join(" ")}${n % 97 === 0 ? "\nand\nmore\nlines" : ""}`;
    const more = () => {
      const lines = [];
      while (sent < count && sent - answered < 200) {
        sent++;
        lines.push(JSON.stringify({ id: 10 + sent, send: { conversation, stream, number: sent, kind: "KIND_TEXT", text: text(sent) } }));
      }
      if (lines.length > 0) ws.send(`${lines.join("\n")}\n`);
    };
    ws.onclose = (e) => fail(new Error(`closed with ${e.code}`));
    ws.onmessage = ({ data }) => {
      for (const line of data.trim().split("\n")) {
        const m = JSON.parse(line);
        if (m.welcome) { stream = m.welcome.stream; ws.send(`${JSON.stringify({ id: 1, create: { peer: "ann" } })}\n`); }
        else if (m.replyTo === 1) { conversation = m.state.conversation; more(); }
        else if (m.error) fail(new Error(JSON.stringify(m)));
        else if (m.sent && ++answered === count) { ws.close(); done(); }
        else if (m.sent && sent - answered < 100) more();
      }
    };
  }), { token, count });
}

const first = (page) => page.locator("[data-seq]").first().getAttribute("data-seq").then(Number);

/** watched counts, at every frame, what moves on the screen without being scrolled. */
const watch = (page) => page.evaluate(() => {
  const box = document.querySelector(".messages");
  const w = (window.watched = { nodes: 0, jumps: [], long: [] });
  new PerformanceObserver((l) => l.getEntries().forEach((e) => w.long.push(Math.round(e.duration)))).observe({ type: "longtask" });
  let before = null; // the message in the middle of the screen, and where it stood
  const frame = () => {
    w.nodes = Math.max(w.nodes, document.querySelectorAll("[data-seq]").length);
    const e = before && document.querySelector(`[data-key="${before.key}"]`);
    if (e) {
      const moved = e.getBoundingClientRect().top - before.top;
      if (Math.abs(moved) > 2 * window.wheel + 2) w.jumps.push([before.key, Math.round(moved)]);
    }
    const r = box.getBoundingClientRect();
    const at = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2)?.closest("[data-key]");
    before = at && { key: at.dataset.key, top: at.getBoundingClientRect().top };
    requestAnimationFrame(frame);
  };
  frame();
});

/** longest are the tasks of the thread that draws the page, by the processor time that
 * they took: on a busy machine the clock says how busy it is. */
function longest(trace) {
  const { traceEvents } = JSON.parse(trace.toString());
  const mains = new Set(traceEvents.filter((e) => e.name === "thread_name" && e.args.name === "CrRendererMain").map((e) => `${e.pid} ${e.tid}`));
  const tasks = traceEvents.filter((e) => e.name === "RunTask" && mains.has(`${e.pid} ${e.tid}`));
  assert.ok(tasks.length > 1000, "the trace has the tasks");
  const begin = Math.min(...tasks.map((e) => e.ts)) + 1e6; // to begin to trace is a task as well
  return tasks.filter((e) => e.ts > begin).map((e) => (e.tdur ?? 0) / 1000).sort((a, b) => b - a);
}

test("scrolling through it keeps its place, few nodes, short tasks and a flat heap", { timeout: 300_000 }, async () => {
  const { page } = ann;
  await page.reload();
  await page.locator(".unread-line").waitFor({ timeout: 60_000 }); // it opens where she has read to
  await page.locator(".messages").press("End"); // that may be the end already: she has looked on while bob wrote
  await bubble(page, `${count}:`).waitFor();
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.enable");
  const heap = async () => {
    await session.send("HeapProfiler.collectGarbage");
    return page.evaluate(() => performance.memory.usedJSHeapSize / 1e6);
  };
  const step = 300;
  await page.evaluate((s) => { window.wheel = s; }, step);
  await watch(page);
  await page.mouse.move(800, 400);
  const heaps = [await heap()];
  /** up scrolls to a sequence; to look at the heap is work for the page as well. */
  const up = async (goal, looking) => {
    const end = Date.now() + 120_000;
    for (let i = 1; Date.now() < end; i++) {
      await page.mouse.wheel(0, -step);
      await page.waitForTimeout(16);
      if (i % 100 !== 0) continue;
      if (looking) heaps.push(await heap());
      if ((await first(page)) <= goal) return;
    }
  };
  const goal = count - (long ? 6_000 : 1_500);
  if (long) await browser.startTracing(page, { categories: ["disabled-by-default-devtools.timeline", "devtools.timeline"] });
  if (long) await up(count - 3_000, false);
  const tasks = long ? longest(await browser.stopTracing()) : [];
  await up(goal, true);
  const reached = await first(page);
  const w = await page.evaluate(() => window.watched);
  console.log(`${count} messages, scrolled to ${reached}: ${w.nodes} nodes at most, long tasks ${JSON.stringify(w.long)}, heap ${heaps.map((h) => h.toFixed(1)).join(" ")} MB`);
  assert.ok(reached <= goal, `came only to ${reached}`);
  assert.ok(w.nodes <= nodesMost, `${w.nodes} message nodes`);
  assert.deepEqual(w.jumps, [], "what is looked at does not move");
  assert.ok(heaps.at(-1) < heaps[0] + 10, `heap ${heaps}`);
  if (!long) return;
  console.log(`of processor time the longest tasks of the page's thread took ${tasks.slice(0, 5).map((t) => t.toFixed(0)).join(" ")} ms`);
  assert.ok(tasks[0] <= 50, "no task above 50 ms");
});

// The short form has no time for it: it goes through 1,500 above.
if (long) test("all of it, to the first message: few nodes and a flat heap", { timeout: 900_000 }, async () => {
  const { page } = ann;
  const step = 2_500;
  await page.evaluate((s) => { window.wheel = s; window.watched.nodes = 0; }, step);
  const session = await page.context().newCDPSession(page);
  const heaps = [];
  const began = Date.now();
  for (let i = 0; ; i++) {
    await page.mouse.wheel(0, -step);
    await page.waitForTimeout(16);
    if (i % 50 !== 0) continue;
    const at = await first(page);
    if (i % 500 === 0 || at === 1) {
      await session.send("HeapProfiler.collectGarbage");
      heaps.push(await page.evaluate(() => performance.memory.usedJSHeapSize / 1e6));
    }
    if (at === 1) break;
    assert.ok(Date.now() - began < 800_000, `came only to ${at}`);
  }
  const { nodes } = await page.evaluate(() => window.watched);
  console.log(`${count} messages, to the first in ${Math.round((Date.now() - began) / 1000)} s: ${nodes} nodes at most, heap ${heaps.map((h) => h.toFixed(1)).join(" ")} MB`);
  assert.ok(nodes <= nodesMost, `${nodes} message nodes`);
  assert.ok(Math.max(...heaps) < heaps[0] + 10, `heap ${heaps}`);
});

test("the button goes to the newest, and the reader's own message too", async () => {
  const { page } = ann;
  await page.getByRole("button", { name: /^Go to the newest message/ }).click();
  await bubble(page, `${count}:`).waitFor();
  await until("it is at the end", () => page.evaluate(() => { const b = document.querySelector(".messages"); return b.scrollHeight - b.scrollTop - b.clientHeight; }), (d) => d < 40);
  await write(page, "all read");
  await open(bob.page, "ann");
  await bubble(bob.page, "all read").waitFor();
});

test("a message that comes while one reads old ones does not move them", async () => {
  const { page } = ann;
  await page.mouse.move(800, 400);
  for (let i = 0; i < 10; i++) await page.mouse.wheel(0, -300);
  await page.waitForTimeout(300);
  const place = () => page.evaluate(() => {
    const r = document.querySelector(".messages").getBoundingClientRect();
    const at = document.elementFromPoint(r.x + r.width / 2, r.y + 200).closest("[data-key]");
    return [at?.dataset.key, Math.round(at?.getBoundingClientRect().top)];
  });
  const before = await place();
  await write(bob.page, "news from bob");
  await page.locator(".to-newest .badge", { hasText: "1" }).waitFor();
  assert.deepEqual(await place(), before);
});
