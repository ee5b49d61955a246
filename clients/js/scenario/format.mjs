// Reads scenarios, strictly, by the table clients/scenarios/format.json, as
// internal/scenario/format.go does.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const folder = fileURLToPath(new URL("../../scenarios/", import.meta.url));
const table = JSON.parse(readFileSync(folder + "format.json", "utf8"));

/** How often something may be repeated, so that a slip of the pen is an error and no flood. */
const repeatMax = 10_000;

/** All scenarios, in the order of their names. */
export function load() {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".json") && file !== "format.json")
    .sort()
    .map((file) => {
      try {
        return { file: file.slice(0, -".json".length), ...parse(JSON.parse(readFileSync(folder + file, "utf8"))) };
      } catch (error) {
        throw new Error(`${file}: ${error.message}`, { cause: error });
      }
    });
}

const isObject = (v) => typeof v === "object" && v !== null && !Array.isArray(v);

/** A scenario, with everything repeated written out. */
export function parse(scenario) {
  if (!isObject(scenario)) throw new Error("it is no object");
  const raw = { ...scenario };
  if (Array.isArray(raw.steps)) raw.steps = expand(raw.steps);
  const actors = new Set(isObject(raw.actors) ? Object.keys(raw.actors) : []);
  return checkObject("scenario", raw, table.scenario, actors);
}

function expand(steps) {
  return steps.flatMap((step) => {
    if (!isObject(step)) return [step];
    if (Array.isArray(step.together)) {
      return [{ ...step, together: step.together.map((branch) => (Array.isArray(branch) ? expand(branch) : branch)) }];
    }
    if (!("repeat" in step)) return [step];
    const { repeat, steps: inner, ...besides } = step;
    if (!Number.isInteger(repeat) || repeat < 1 || repeat > repeatMax || !Array.isArray(inner) || Object.keys(besides).length > 0) {
      throw new Error('a repetition is {"repeat": number, "steps": […]} and no more');
    }
    return Array.from({ length: repeat }, (_, i) => expand(substitute(inner, String(i + 1)))).flat();
  });
}

/** Puts a number in place of {i} in all texts, but in those of a line that stands for several. */
function substitute(v, i) {
  if (typeof v === "string") return v.replaceAll("{i}", i);
  if (Array.isArray(v)) return v.map((x) => substitute(x, i));
  if (!isObject(v) || "each" in v) return v;
  return Object.fromEntries(Object.entries(v).map(([name, x]) => [name, substitute(x, i)]));
}

function checkObject(what, object, fields, actors, ...besides) {
  const checked = { ...object };
  for (const name of Object.keys(object).sort()) {
    if (besides.includes(name)) continue;
    if (!Object.hasOwn(fields, name)) throw new Error(`${what}: unknown field ${JSON.stringify(name)}`);
    try {
      checked[name] = checkValue(fields[name].replace("!", ""), object[name], actors);
    } catch (error) {
      throw new Error(`${what}: ${name}: ${error.message}`, { cause: error });
    }
  }
  for (const [name, kind] of Object.entries(fields)) {
    if (kind.endsWith("!") && !(name in object)) throw new Error(`${what}: ${JSON.stringify(name)} is missing`);
  }
  return checked;
}

function checkValue(kind, v, actors) {
  const is = {
    text: () => typeof v === "string",
    number: () => Number.isInteger(v) && v >= 0,
    boolean: () => typeof v === "boolean",
    texts: () => Array.isArray(v) && v.every((x) => typeof x === "string"),
    actor: () => actors.has(v),
  }[kind];
  switch (kind) {
    case "lines":
      return lines(v);
    case "steps":
      return checkSteps(v, actors);
    case "actors":
      if (!isObject(v) || Object.keys(v).length === 0) throw new Error("no actors");
      return Object.fromEntries(Object.entries(v).map(([name, a]) => {
        if (!isObject(a)) throw new Error(`${name} is no object`);
        return [name, { user: name, ...checkObject(name, a, table.actor, actors) }];
      }));
  }
  if (is !== undefined ? !is() : !table.words[kind]?.includes(v)) {
    throw new Error(`${JSON.stringify(v)} is not of kind "${kind}"`);
  }
  return v;
}

function lines(v) {
  if (!Array.isArray(v)) throw new Error(`${JSON.stringify(v)} is no list`);
  return v.flatMap((x) => {
    if (typeof x === "string") return [x];
    if (!isObject(x)) throw new Error(`${JSON.stringify(x)} is neither a text nor several`);
    const { each, from, to } = checkObject("line", x, table.line, new Set());
    if (to - from > repeatMax) throw new Error("too many lines");
    return Array.from({ length: Math.max(to - from + 1, 0) }, (_, i) => each.replaceAll("{i}", String(from + i)));
  });
}

function checkSteps(v, actors) {
  if (!Array.isArray(v) || v.length === 0) throw new Error("no steps");
  return v.map((step, i) => {
    try {
      if (!isObject(step)) throw new Error("it is no object");
      return checkStep(step, actors);
    } catch (error) {
      throw new Error(`step ${i + 1}: ${error.message}`, { cause: error });
    }
  });
}

function checkStep(step, actors) {
  if (Array.isArray(step.together) && Object.keys(step).length === 1) {
    try {
      return { together: step.together.map((branch) => checkSteps(branch, actors)) };
    } catch (error) {
      throw new Error(`together: ${error.message}`, { cause: error });
    }
  }
  for (const kind of ["do", "stage", "expect"]) {
    const verb = step[kind];
    if (typeof verb !== "string") continue;
    if (!Object.hasOwn(table[kind], verb)) throw new Error(`${kind}: unknown ${JSON.stringify(verb)}`);
    return checkObject(verb, step, { ...table[kind][verb], ...table.all[kind] }, actors, kind);
  }
  throw new Error("it is none of do, stage, expect, together and repeat");
}
