// What actors do.
import { show } from "./actor.mjs";
import { list } from "./shows.mjs";

/** How long an action may take. */
const actMax = 30_000;

/** Has an actor do something, and holds how it ended to what the step says. */
export async function act(player, step) {
  let failed;
  let timer;
  try {
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${actMax} ms`)), actMax)));
    await Promise.race([perform(player, player.actors.get(step.actor), step), late]);
  } catch (error) {
    failed = error;
  } finally {
    clearTimeout(timer);
  }
  if (step.fails === undefined) {
    if (failed !== undefined) throw failed;
  } else if (failed?.code !== step.fails) {
    throw new Error(`it ended with ${failed?.code ?? failed?.message ?? "nothing"}, want ${step.fails}`, { cause: failed });
  }
}

async function perform(player, actor, step) {
  if (step.do === "open") return actor.open(step.fresh === true);
  if (step.do === "close") return actor.close();
  const c = actor.client;
  if (c === undefined) throw new Error(`${actor.name} is not open`);
  switch (step.do) {
    case "createDirect":
      return name(player.rooms, step.as, (await c.createDirect(step.peer)).id);
    case "createGroup":
      return name(player.rooms, step.as, (await c.createGroup(step.title, step.members ?? [])).id);
    case "resend":
      return name(player.drafts, step.draft, (await c.resend(player.draft(step.draft))).id);
    case "discard":
      return c.discard(player.draft(step.draft));
    case "watch":
      return c.watch(step.rooms.map((room) => player.room(room)));
    case "setProfile":
      return c.setProfile({ name: step.name, picture: step.picture, lastSeenTo: step.lastSeenTo });
    case "revoke":
      return revoke(actor, step.of);
  }
  const id = player.room(step.in);
  switch (step.do) {
    case "send":
      return send(player, c, id, step);
    case "history":
      return history(c, id, step);
    case "markRead":
      return c.markRead(id, step.upTo);
    case "markUnread":
      return c.markUnread(id, step.unread);
    case "mute":
      return c.mute(id, step.ms > 0 ? new Date(Date.now() + step.ms) : null);
    case "add":
      return c.addMembers(id, step.users);
    case "remove":
      return c.removeMembers(id, [step.user]);
    case "leave":
      return c.leave(id);
    case "rename":
      return c.rename(id, step.title);
    case "typing":
      return c.typing(id, step.active);
    case "setRole":
      return c.setRole(id, step.user, step.role);
  }
  throw new Error(`unknown action ${step.do}`);
}

function name(names, as, id) {
  if (as !== undefined) names.set(as, id);
}

/** Sends a message, or several: then {i} in its text is their number. */
async function send(player, c, id, step) {
  for (let i = 1; i <= (step.count ?? 1); i++) {
    let text = step.text.replaceAll("{i}", String(i));
    if (step.size > 0) text = text.repeat(step.size / text.length + 1).slice(0, step.size);
    name(player.drafts, step.as, (await c.send(id, text)).id);
  }
}

/** Shuts out the device that is called like an actor. */
async function revoke(actor, name) {
  const device = (await actor.client.devices()).find((d) => d.name === name);
  if (device === undefined) throw new Error(`${actor.user} has no device ${JSON.stringify(name)}`);
  await actor.client.revoke(device.id);
}

/** Reads a range, from the server where the device lacks it. */
async function history(c, id, { from, to, are }) {
  const items = [];
  for (let before = to + 1; before > from; ) {
    const page = await c.history(id, { before, limit: before - from });
    if (page.to < page.from || page.partial) throw new Error(`the history ends at ${before}`);
    items.unshift(...page.items);
    before = page.from;
  }
  const texts = items.filter((m) => m.type === "message").map(show);
  if (list(texts) !== list(are)) throw new Error(`the history is\n${list(texts)}\nwant\n${list(are)}`);
}
