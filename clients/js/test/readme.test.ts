// What a newcomer pastes runs as it stands, but for the address.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";
import { Parley } from "./parley.js";

test("the README's example in JavaScript", async () => {
  const root = process.env.PARLEY_JS + "../../";
  const example = /```js\n([^]*?)```/.exec(readFileSync(root + "README.md", "utf8"))![1]!;
  assert.ok(example.includes("127.0.0.1:8080"));
  const parley = await Parley.start();
  try {
    const file = parley.dir + "/chat.mjs";
    writeFileSync(file, example.replaceAll("127.0.0.1:8080", parley.address));
    const flags = "WebSocket" in globalThis ? [] : ["--experimental-websocket"];
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, file], { cwd: root, timeout: 30_000 });
    assert.equal(stdout, "bob reads ann's message 1: hello\n");
  } finally {
    await parley.stop();
  }
});
