// Plays all scenarios of clients/scenarios with this SDK, over both subprotocols.
//
//   node scenario/run.mjs [--only PART] [--with-go]
//
// --only plays those whose file name contains a text, --with-go plays them with
// the Go SDK first and prints one table.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Actor } from "./actor.mjs";
import { folder, load, parse } from "./format.mjs";
import { play } from "./play.mjs";
import { Control } from "./stage.mjs";

/** How many scenarios are played at once: most of each is waiting. */
const atOnce = 4;

const { values: options } = parseArgs({ options: { only: { type: "string", default: "" }, "with-go": { type: "boolean", default: false } } });

checkFormat();
checkFaults();
const scenarios = load().filter((s) => s.file.includes(options.only));
if (scenarios.length === 0) throw new Error(`no scenario is named like ${options.only}`);
const results = new Map(scenarios.map((s) => [s.file, {}])); // by file: {"js proto": {ms, error}}

if (options["with-go"]) await playWithGo();
await playAll();
report();

/** Holds the reader to what every runner must refuse. */
function checkFormat() {
  for (const { why, scenario } of JSON.parse(readFileSync(folder + "testdata/refused.json", "utf8"))) {
    let said = "nothing";
    try {
      parse(scenario);
    } catch (error) {
      said = error.message;
    }
    if (!said.includes(why)) throw new Error(`${JSON.stringify(scenario)}: ${said}, want ${why}`);
  }
}

/** An SDK that tells a message twice, or one out of order, must fail. */
function checkFaults() {
  const message = (seq) => ({ type: "messages", id: "1", items: [{ type: "message", seq, from: "bob", text: "hello" }] });
  const restored = { type: "restored", id: "1", from: 2 };
  for (const [events, faulty] of [
    [[message(1), message(2), message(5)], false],
    [[message(1), message(2), message(2)], true],
    [[message(2), message(1)], true],
    [[message(1), message(2), restored, message(2)], false],
    [[message(1), message(2), restored, message(1)], true],
  ]) {
    const actor = new Actor(undefined, "ann", { user: "ann" });
    for (const event of events) actor.take(event);
    if ((actor.fault !== undefined) !== faulty) throw new Error(`after ${JSON.stringify(events)} the fault is ${actor.fault}`);
  }
}

async function playAll() {
  const control = await Control.start();
  try {
    const waiting = scenarios.flatMap((s) => ["proto", "json"].map((subprotocol) => [s, subprotocol]));
    await Promise.all(Array.from({ length: atOnce }, async () => {
      for (let next; (next = waiting.shift()) !== undefined; ) {
        const [scenario, subprotocol] = next;
        const begun = performance.now();
        const error = await play(control, scenario, subprotocol).then(() => undefined, (e) => e);
        results.get(scenario.file)[`js ${subprotocol}`] = { ms: performance.now() - begun, error };
        if (error !== undefined) console.error(`${scenario.file}/${subprotocol}: ${scenario.name} (${scenario.proves}): ${error.message}\n`);
      }
    }));
  } finally {
    await control.close();
  }
}

/** Plays them with the Go SDK: go test tells of each. */
async function playWithGo() {
  const child = spawn("go", ["test", "-count=1", "-json", "-run", "TestScenarios", "./internal/scenario"], {
    cwd: fileURLToPath(new URL("../../../", import.meta.url)), stdio: ["ignore", "pipe", "inherit"],
  });
  const output = new Map(); // by test
  for await (const line of createInterface(child.stdout)) {
    const { Action, Test = "", Elapsed, Output } = JSON.parse(line);
    const [, file, subprotocol] = Test.split("/");
    if (Action === "output") output.set(Test, (output.get(Test) ?? "") + Output);
    if (!["pass", "fail"].includes(Action) || subprotocol === undefined) continue;
    const error = Action === "fail" ? new Error(output.get(Test)) : undefined;
    if (results.has(file)) {
      results.get(file)[`go ${subprotocol}`] = { ms: Elapsed * 1000, error };
      if (error !== undefined) console.error(error.message);
    }
  }
}

/** Prints a table of seconds, and ends with a status that tells. */
function report() {
  const columns = [...(options["with-go"] ? ["go proto", "go json"] : []), "js proto", "js json"];
  const width = Math.max(...scenarios.map((s) => s.file.length));
  console.log(["scenario".padEnd(width), ...columns.map((c) => c.padStart(8))].join("  "));
  let failed = 0;
  for (const { file } of scenarios) {
    const cells = columns.map((c) => {
      const r = results.get(file)[c];
      if (r === undefined || r.error !== undefined) failed++;
      return r === undefined ? "missing" : r.error !== undefined ? "FAILED" : (r.ms / 1000).toFixed(2);
    });
    console.log([file.padEnd(width), ...cells.map((c) => c.padStart(8))].join("  "));
  }
  console.log(`${scenarios.length} scenarios, ${failed === 0 ? "all passed" : `${failed} times failed`}`);
  process.exitCode = failed === 0 ? 0 : 1;
}
