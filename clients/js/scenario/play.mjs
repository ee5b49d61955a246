// Plays a scenario, as internal/scenario/play.go does.
import { Actor } from "./actor.mjs";
import { act } from "./act.mjs";
import { shows, want } from "./shows.mjs";

/** How long an expectation may take where its step does not say. */
const withinMax = 30_000;
/** When an expectation is looked at again without an event. */
const lookAgain = 50;

class StepError extends Error {
  constructor(step, what, cause) {
    super(`step ${step}, ${what}: ${cause.message}`, { cause });
    this.step = step;
  }
}

/** Plays a scenario on a stage of its own. One that must fail rejects if it does not. */
export async function play(control, scenario, subprotocol) {
  let failed;
  try {
    await playOnce(control, scenario, subprotocol);
  } catch (error) {
    failed = error;
  }
  if (scenario.failsAt === undefined) {
    if (failed !== undefined) throw failed;
  } else if (failed?.step !== scenario.failsAt) {
    throw new Error(`it must fail at step ${scenario.failsAt}, and ended with ${failed?.message ?? "nothing"}`, { cause: failed });
  }
}

async function playOnce(control, scenario, subprotocol) {
  const player = new Player(await control.stage(scenario.flags), subprotocol);
  let failed;
  try {
    for (const name of Object.keys(scenario.actors).sort()) {
      const actor = new Actor(player, name, scenario.actors[name]);
      player.actors.set(name, actor);
      await actor.open(false);
      await player.expect({ expect: "connection", actor: name, is: "synced" });
    }
    await player.play(scenario.steps);
  } catch (error) {
    failed = error;
    failed.message += `\nthe server said:\n${await player.stage.log().catch(String)}`;
  }
  await player.end();
  if (failed !== undefined) throw failed;
}

class Player {
  constructor(stage, subprotocol) {
    this.stage = stage;
    this.subprotocol = subprotocol;
    this.actors = new Map();
    this.rooms = new Map(); // ids of conversations, by the name in the scenario
    this.drafts = new Map(); // ids of drafts, likewise
  }

  /** Closes all devices and the stage. */
  async end() {
    await Promise.allSettled([...this.actors.values()].filter((a) => a.client !== undefined).map((a) => a.close()));
    await this.stage.end();
  }

  async play(steps) {
    for (const [i, step] of steps.entries()) {
      try {
        await this.step(step);
        this.noFaults();
      } catch (error) {
        throw new StepError(i + 1, nameOf(step), error);
      }
    }
  }

  async step(step) {
    if (step.do !== undefined) return act(this, step);
    if (step.stage !== undefined) return this.stage.do(step);
    if (step.expect !== undefined) return this.expect(step);
    const ended = await Promise.allSettled(step.together.map((branch) => this.play(branch)));
    const failed = ended.filter((e) => e.status === "rejected").map((e) => e.reason.message);
    if (failed.length > 0) throw new Error(failed.join("\n"));
  }

  /** Waits until an actor shows what a step says, and with `for`, goes on showing it that long. */
  async expect(step) {
    const { within = withinMax, for: hold = 0 } = step;
    const actor = this.actors.get(step.actor);
    const begun = performance.now();
    let since;
    for (;;) {
      const [event, stop] = nextEvent(actor);
      const [got, wanted] = [await this.shows(actor, step), step.expect === "same" ? await this.shows(this.actors.get(step.of), step) : want(step)];
      const now = performance.now();
      since = got === wanted ? (since ?? now) : undefined;
      const shown = since !== undefined && now - since >= hold;
      const late = since === undefined && now - begun >= within;
      if (!shown && !late) {
        await event;
        this.noFaults();
        continue;
      }
      stop();
      if (shown) return;
      throw new Error(`after ${Math.round(now - begun)} ms it is\n${got}\nwant\n${wanted}${this.knows(actor, step)}`);
    }
  }

  async shows(actor, step) {
    try {
      return await shows(this, actor, step);
    } catch (error) {
      return String(error.message);
    }
  }

  /** All that a device knows of the conversation of a step. */
  knows(actor, step) {
    const v = actor.client?.conversation(this.rooms.get(step.in));
    return v === undefined ? "" : `\nits device knows ${JSON.stringify(v, (_, x) => (typeof x === "bigint" ? String(x) : x))}`;
  }

  /** Throws what no SDK may do, whatever a scenario expects. */
  noFaults() {
    const faults = [...this.actors.values()].map((a) => a.fault).filter((f) => f !== undefined);
    if (faults.length > 0) throw new Error(faults.join("\n"));
  }

  room(name) {
    if (!this.rooms.has(name)) throw new Error(`no conversation was made as ${JSON.stringify(name)}`);
    return this.rooms.get(name);
  }

  draft(name) {
    if (!this.drafts.has(name)) throw new Error(`no draft was sent as ${JSON.stringify(name)}`);
    return this.drafts.get(name);
  }
}

/** The next event of an actor, or a moment without one; and what ends waiting. */
function nextEvent(actor) {
  let stop;
  const event = new Promise((resolve) => {
    const timer = setTimeout(resolve, lookAgain);
    stop = () => {
      clearTimeout(timer);
      resolve();
    };
    const before = actor.changed;
    actor.changed = () => {
      actor.changed = before;
      before();
      stop();
    };
  });
  return [event, stop];
}

function nameOf(step) {
  if (step.do !== undefined) return `${step.actor} does ${step.do}`;
  if (step.stage !== undefined) return `the stage does ${step.stage}`;
  return step.expect !== undefined ? `${step.actor}'s ${step.expect}` : "together";
}
