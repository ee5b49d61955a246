// What a slow consumer is told.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnyEvent, Item } from "../src/index.js";
import { Emitter } from "../src/emitter.js";
import { room } from "./fake.js";

const id = room();
const messages = (from: number, to: number, text = ""): AnyEvent =>
  ({ type: "messages", id, items: Array.from({ length: to - from + 1 }, (_, i) => ({ type: "message", conversation: id, seq: from + i, text }) as unknown as Item) });
const restored = (from: number): AnyEvent => ({ type: "restored", id, from });

/** What a consumer that wakes when all has been told shows of a conversation of which it
 * showed 1 to `shown`. */
async function shows(shown: number, ...events: AnyEvent[]): Promise<string[]> {
  const emitter = new Emitter();
  const stream = emitter.stream();
  emitter.emit(events);
  emitter.end();
  await new Promise((resolve) => setImmediate(resolve));
  let all: { seq: number; text: string }[] = Array.from({ length: shown }, (_, i) => ({ seq: i + 1, text: "old" }));
  for await (const e of stream) {
    if (e.type === "restored") all = all.filter((m) => m.seq < e.from);
    if (e.type === "gone") all = [];
    if (e.type === "messages") {
      const first = e.hole?.from ?? (e.items[0] as { seq: number }).seq;
      assert.equal(first, (all.at(-1)?.seq ?? 0) + 1, "without a gap");
      for (let seq = first; seq <= (e.hole?.to ?? 0); seq++) all.push({ seq, text: "?" }); // for history to read
      all.push(...(e.items as unknown as typeof all));
    }
  }
  return all.map((m) => `${m.seq}${m.text}`);
}

test("a slow consumer shows what stands after a restore, and nothing that it took", async () => {
  assert.deepEqual(await shows(0, messages(1, 4), restored(3)), ["1?", "2?"]);
  assert.deepEqual(await shows(0, messages(1, 4), restored(3), messages(3, 3, "new")), ["1?", "2?", "3new"]);
  assert.deepEqual(await shows(2, messages(3, 4), restored(2), messages(2, 3, "new")), ["1old", "2new", "3new"]);
  assert.deepEqual(await shows(3, restored(2), messages(2, 4, "a"), restored(4), messages(4, 5, "b")), ["1old", "2?", "3?", "4b", "5b"]);
  assert.deepEqual(await shows(3, restored(3), messages(3, 4, "a"), restored(2)), ["1old"]);
});

test("a slow consumer shows what came after a conversation was gone", async () => {
  assert.deepEqual(await shows(2, messages(3, 4), { type: "gone", id }, messages(1, 1, "new")), ["1new"]);
});

test("events that are asked for after the end are at an end", async () => {
  const emitter = new Emitter();
  emitter.end();
  await null;
  assert.equal((await emitter.stream().next()).done, true);
});
