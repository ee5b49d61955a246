// A real server in a process of its own.
import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { Client, type Options } from "../src/index.js";
import { until, webSocket } from "./fake.js";

const root = process.env.PARLEY_JS + "../../";

/** Builds the binary into a folder, and names it. */
export function build(dir: string): string {
  const binary = dir + "/parley";
  execFileSync("go", ["build", "-o", binary, "./cmd/parley"], { cwd: root, stdio: "inherit" });
  return binary;
}

async function freePort(): Promise<number> {
  const s = createServer();
  await new Promise<void>((resolve) => s.listen(0, "127.0.0.1", resolve));
  const { port } = s.address() as { port: number };
  await new Promise((resolve) => s.close(resolve));
  return port;
}

export class Parley {
  private process: ChildProcess | undefined;
  private readonly clients: Client[] = [];

  private constructor(readonly dir: string, private readonly binary: string, readonly address: string) {}

  static async start(): Promise<Parley> {
    const dir = mkdtempSync(tmpdir() + "/parley-js-");
    const p = new Parley(dir, build(dir), `127.0.0.1:${await freePort()}`);
    await p.run();
    return p;
  }

  get url(): string {
    return `ws://${this.address}/ws`;
  }

  /** Starts it, and waits until it says that it is ready. */
  async run(): Promise<void> {
    const child = spawn(this.binary, ["serve", "--dev", "--listen", this.address, "--data", this.dir + "/data"], { stdio: ["ignore", "pipe", "ignore"] });
    this.process = child;
    const ready = new Promise<void>((resolve, reject) => {
      createInterface(child.stdout!).once("line", (line) => (line.startsWith("listening on ") ? resolve() : reject(new Error(line))));
      child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    });
    await ready;
  }

  /** Ends it as a power cut would, as far as a process can tell; or in good order. */
  async end(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.process!;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  token(user: string, ttl = "1h"): string {
    return execFileSync(this.binary, ["token", user, "--data", this.dir + "/data", "--ttl", ttl], { encoding: "utf8" }).trim();
  }

  async open(user: string, o: Partial<Options> = {}): Promise<Client> {
    const token = this.token(user);
    const c = await Client.open({ url: this.url, token: () => token, webSocket, ...o });
    this.clients.push(c);
    return c;
  }

  async online(user: string, o: Partial<Options> = {}): Promise<Client> {
    const c = await this.open(user, o);
    await until("online", () => c.connection.status === "online");
    return c;
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((c) => c.close()));
    await this.end();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** The texts that a client holds of a conversation, in order; nothing may be missing. */
export async function texts(c: Client, id: string): Promise<string[]> {
  const all: string[] = [];
  for (let after = 0, more = true; more; ) {
    const page = await c.history(id, { after, limit: 500 });
    assert.equal(page.from, after + 1);
    all.push(...page.items.flatMap((i) => (i.type === "message" && i.text !== undefined ? [i.text] : [])));
    after = page.to;
    more = page.after;
  }
  return all;
}
