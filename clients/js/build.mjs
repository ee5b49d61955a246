// Makes dist/: one ES module, its source map, and the declarations.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
rmSync(here + "dist", { recursive: true, force: true });
execFileSync(process.execPath, [here + "node_modules/typescript/bin/tsc", "-p", here + "tsconfig.json"], { stdio: "inherit" });
await build({
  absWorkingDir: here,
  entryPoints: ["src/index.ts"],
  outfile: "dist/index.js",
  bundle: true,
  format: "esm",
  platform: "neutral",
  target: ["es2022"],
  sourcemap: true,
  sourcesContent: true,
  legalComments: "none",
  minifySyntax: true,
});
