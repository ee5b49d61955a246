// What is published: small, whole, and nothing else.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = process.env.PARLEY_JS!;

test("the bundle is below 25 KiB, minified and gzipped", async (t) => {
  const r = await build({ entryPoints: [here + "dist/index.js"], bundle: true, minify: true, format: "esm", write: false });
  const size = gzipSync(r.outputFiles[0]!.contents, { level: 9 }).length;
  t.diagnostic(`${size} bytes`);
  assert.ok(size < 25 * 1024, `${size} bytes`);
});

test("what nobody uses is left out", async () => {
  const stdin = { contents: 'import { ParleyError } from "./dist/index.js"; console.log(ParleyError)', resolveDir: here };
  const r = await build({ stdin, bundle: true, minify: true, format: "esm", write: false });
  assert.ok(r.outputFiles[0]!.contents.length < 2_000, `${r.outputFiles[0]!.contents.length} bytes`);
});

test("the package holds what it should", () => {
  const out = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: here, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const parsed = JSON.parse(out) as { files: { path: string }[] }[] | Record<string, { files: { path: string }[] }>;
  const files = Object.values(parsed)[0]!.files.map((f) => f.path).sort();
  for (const name of ["LICENSE", "README.md", "package.json", "dist/index.js", "dist/index.js.map", "dist/index.d.ts", "dist/api.d.ts"]) {
    assert.ok(files.includes(name), `${name} is missing`);
  }
  assert.deepEqual(files.filter((f) => !/^(LICENSE|README\.md|package\.json|dist\/.*\.(js|js\.map|d\.ts))$/.test(f)), []);
});

test("the package has no dependencies, and the lock file no addresses", () => {
  const manifest = JSON.parse(readFileSync(here + "package.json", "utf8")) as Record<string, unknown>;
  assert.equal(manifest["dependencies"], undefined);
  assert.ok(!readFileSync(here + "package-lock.json", "utf8").includes('"resolved"'));
});

test("the public types name no any, and need nothing of Node's", () => {
  for (const name of ["api", "client", "store", "errors", "memory-store", "indexeddb-store", "index"]) {
    const text = readFileSync(here + `dist/${name}.d.ts`, "utf8").replace(/\/\*[^]*?\*\/|\/\/.*/g, "");
    assert.doesNotMatch(text, /\bany\b/, name);
    assert.doesNotMatch(text, /NodeJS|node:/, name);
  }
});
