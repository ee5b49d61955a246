// Stages, which are servers with a network for each actor; see
// internal/scenario/control.go.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Serves stages in a process of their own, until it is closed. */
export class Control {
  static async start() {
    const bin = mkdtempSync(join(tmpdir(), "parley-scenarios-"));
    try {
      execFileSync("go", ["build", "-o", bin, "./cmd/parley", "./internal/scenario/stage"], { cwd: root, stdio: "inherit" });
      const child = spawn(join(bin, "stage"), [join(bin, "parley")], { stdio: ["pipe", "pipe", "inherit"] });
      const url = await new Promise((resolve, reject) => {
        let said = "";
        child.on("error", reject);
        child.on("exit", (status) => reject(new Error(`the stage ended with status ${status}`)));
        child.stdout.setEncoding("utf8").on("data", (text) => {
          said += text;
          if (said.includes("\n")) resolve(said.trim());
        });
      });
      return new Control(url, child, bin);
    } catch (error) {
      rmSync(bin, { recursive: true, force: true });
      throw error;
    }
  }

  constructor(url, child, bin) {
    this.url = url;
    this.child = child;
    this.bin = bin;
  }

  async stage(flags) {
    const { id } = await ask("POST", `${this.url}/stages`, { flags });
    return new Stage(`${this.url}/stages/${id}`);
  }

  async close() {
    const ended = new Promise((resolve) => this.child.on("exit", resolve));
    this.child.stdin.end();
    await ended;
    rmSync(this.bin, { recursive: true, force: true });
  }
}

class Stage {
  constructor(url) {
    this.url = url;
  }

  /** Where the network of an actor begins, and how many connections were made through it. */
  actor(name) {
    return ask("POST", `${this.url}/actors/${encodeURIComponent(name)}`, {});
  }

  async token(user, ms) {
    return (await ask("POST", `${this.url}/tokens`, { user, ms })).token;
  }

  do(step) {
    return ask("POST", `${this.url}/steps`, step);
  }

  log() {
    return ask("GET", `${this.url}/log`);
  }

  end() {
    return ask("DELETE", this.url);
  }
}

async function ask(method, url, body) {
  const response = await fetch(url, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(text.trim());
  return JSON.parse(text);
}
