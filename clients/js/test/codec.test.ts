import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { decode, encode, join } from "../src/wire/codec.js";

const golden = process.env.PARLEY_JS + "../../wire/testdata/";

for (const file of readdirSync(golden).filter((f) => f.endsWith(".bin"))) {
  const name = file.startsWith("request_") ? "Request" : "ServerMessage";
  const base = file.slice(0, -4);
  const binary = new Uint8Array(readFileSync(golden + file));
  const text = readFileSync(golden + base + ".json", "utf8");

  test(`${base}: both forms say the same`, () => {
    const fromBinary = decode(name, binary);
    const fromText = decode(name, text);
    assert.equal(fromBinary.length, 1);
    assert.deepEqual(fromBinary, fromText);
    assert.deepEqual(encode("proto", name, fromBinary[0]!), binary);
    assert.deepEqual(JSON.parse(String(join("json", [encode("json", name, fromText[0]!)]))), JSON.parse(text));
  });

  test(`${base}: cut off anywhere, it is an error and nothing worse`, () => {
    for (let n = 1; n < binary.length; n++) assert.throws(() => decode(name, binary.subarray(0, n)));
  });
}

test("fields that are not known are read over", () => {
  // reply_to = 5, field 100 of each wire type, done = {}.
  const unknown = [0xa0, 0x06, 0x01, 0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0xa2, 0x06, 0x02, 9, 9, 0xa5, 0x06, 1, 2, 3, 4];
  const body = [0x08, 0x05, ...unknown, 0x22, 0x00];
  const [m] = decode("ServerMessage", new Uint8Array([body.length, ...body]));
  assert.equal(m!.replyTo, 5);
  assert.deepEqual(m!.done, {});
  const [j] = decode("ServerMessage", '{"replyTo":5,"new":{"x":[1]},"done":{"more":1}}\n');
  assert.deepEqual(j, m);
});

test("random bytes are an error and nothing worse", () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 0x7fffffff);
  for (let i = 0; i < 20_000; i++) {
    const bytes = Uint8Array.from({ length: random() % 40 }, () => random() % 256);
    try {
      decode("ServerMessage", bytes);
    } catch (e) {
      assert.ok(e instanceof Error);
    }
  }
});

test("text outside of the first plane, and long lengths", () => {
  const text = "👋🏽 שלום é" + "x".repeat(40_000);
  for (const p of ["proto", "json"] as const) {
    const [m] = decode("Request", join(p, [encode(p, "Request", { id: 300, send: { text, stream: 2n ** 64n - 1n, number: 4_000_000_000 } })]));
    assert.equal(m!.send!.text, text);
    assert.equal(m!.send!.stream, 2n ** 64n - 1n);
    assert.equal(m!.send!.number, 4_000_000_000);
  }
});
