// Builds the bundle into a folder of its own, and fails when it is not the one that
// is committed. Archives are compared by what is in them: zlib differs with Node.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const here = fileURLToPath(new URL(".", import.meta.url));
const fresh = mkdtempSync(join(tmpdir(), "parley-web-"));
try {
  execFileSync("npm", ["run", "--silent", "build"], { cwd: here, env: { ...process.env, WEB_OUT: fresh }, stdio: ["ignore", "ignore", "inherit"] });
  const wrong = differences(join(here, "dist"), fresh);
  if (wrong.length > 0) {
    console.error(`web/dist is not what the source gives (${wrong.join(", ")}); run: make web`);
    process.exitCode = 1;
  }
} finally {
  rmSync(fresh, { recursive: true });
}

function differences(committed, built) {
  const a = contents(committed), b = contents(built);
  return [...new Set([...a.keys(), ...b.keys()])].filter((name) => !a.get(name)?.equals(b.get(name) ?? Buffer.alloc(0)));
}

function contents(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((e) => e.isFile());
  return new Map(files.map((e) => {
    const name = join(e.parentPath, e.name);
    const bytes = readFileSync(name);
    return [name.slice(folder.length), name.endsWith(".gz") ? gunzipSync(bytes) : bytes];
  }));
}
