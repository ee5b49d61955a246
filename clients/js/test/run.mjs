// Runs the tests: bundles each of them, and hands them to Node's runner. With words, only
// those whose file's name has one of them; what begins with -- goes to the runner:
// node test/run.mjs outbox --test-name-pattern=full
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const words = process.argv.slice(2).filter((w) => !w.startsWith("--"));
const flags = process.argv.slice(2).filter((w) => w.startsWith("--"));
const names = readdirSync(here).filter((n) => n.endsWith(".test.ts") && (words.length === 0 || words.some((w) => n.includes(w))));
const out = here + "../node_modules/.cache/parley-tests/";
rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: names.map((n) => here + n),
  outdir: out,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  packages: "external",
  format: "esm",
  platform: "node",
  target: "node20",
  sourcemap: "inline",
  define: { "process.env.PARLEY_JS": JSON.stringify(fileURLToPath(new URL("..", import.meta.url))) },
});
const files = names.map((n) => out + n.replace(/\.ts$/, ".mjs"));
const run = spawnSync(process.execPath, ["--enable-source-maps", "--test", "--test-concurrency=4", "--test-reporter=spec", ...flags, ...files], { stdio: "inherit" });
process.exitCode = run.status ?? 1;
