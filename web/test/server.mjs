// A real server, in a process of its own, that a test may kill.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
export const binary = process.env.PARLEY ?? join(root, "bin", "parley");

/** startServer starts `parley serve --dev`, or another command, on a free port. */
export async function startServer(command = ["serve", "--dev"]) {
  const folder = mkdtempSync(join(tmpdir(), "parley-web-test-"));
  const server = new Server(command, await freePort(), folder);
  await server.start();
  return server;
}

class Server {
  constructor(command, port, folder) {
    Object.assign(this, { command, port, folder, data: join(folder, "data"), url: `http://127.0.0.1:${port}` });
  }

  async start() {
    this.process = spawn(binary, [...this.command, "--listen", `127.0.0.1:${this.port}`, "--data", this.data], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    this.process.stderr.on("data", (b) => { said = (said + b).slice(-4000); });
    this.process.stdout.resume();
    const ended = new Promise((done) => this.process.once("exit", done));
    this.ended = ended;
    const late = Date.now() + 20_000;
    while (!(await fetch(`${this.url}/readyz`).then((r) => r.ok, () => false))) {
      if (this.process.exitCode !== null || Date.now() > late) throw new Error(`the server did not start: ${said}`);
      await new Promise((r) => setTimeout(r, 30));
    }
  }

  /** kill ends it as a power cut would, as far as a process can tell. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.ended;
  }

  async stop() {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** token is one of the server's own key, that holds for so long. */
  token(user, ttl = "1h") {
    return execFileSync(binary, ["token", user, "--data", this.data, "--ttl", ttl], { encoding: "utf8" }).trim();
  }
}

function freePort() {
  return new Promise((done, fail) => {
    const s = createServer();
    s.once("error", fail);
    s.listen(0, "127.0.0.1", () => {
      const { port } = s.address();
      s.close(() => done(port));
    });
  });
}
