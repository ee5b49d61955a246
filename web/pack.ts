import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

/** pack puts NAME.gz beside each file that gets much smaller by it; the server hands that
 * to browsers that take it. No time and no name goes in, so the bytes are the same
 * each time. */
export function pack(): Plugin {
  let out = "";
  return {
    name: "pack",
    apply: "build",
    configResolved: (config) => { out = config.build.outDir; },
    closeBundle() {
      for (const e of readdirSync(out, { recursive: true, withFileTypes: true })) {
        if (!e.isFile() || !/\.(js|css|html|svg)$/.test(e.name)) continue;
        const name = join(e.parentPath, e.name);
        const plain = readFileSync(name);
        const packed = gzipSync(plain, { level: 9 });
        if (plain.length > 1024 && packed.length < 0.9 * plain.length) writeFileSync(`${name}.gz`, packed);
      }
    },
  };
}
