// What actors show, written as a scenario writes it.
import { show } from "./actor.mjs";

export const list = (texts) => texts.map((t) => `\t${t}\n`).join("");

/** What a step expects. */
export function want(step) {
  if (step.expect === "connections") return "as many as expected";
  if (step.expect === "profile") return `${step.name} ${step.picture}`;
  if (step.expect === "draft") return [step.is, step.error].filter((x) => x !== undefined).join(" ");
  return step.is === undefined ? list(step.are) : String(step.is);
}

/** What an actor shows of what a step asks for. */
export async function shows(player, actor, step) {
  if (step.expect === "connections") {
    const { connections } = await player.stage.actor(actor.name);
    return connections >= (step.atLeast ?? 0) && connections <= (step.atMost ?? Infinity) ? want(step) : String(connections);
  }
  const c = actor.client;
  if (c === undefined) throw new Error(`${actor.name} is not open`);
  switch (step.expect) {
    case "connection":
      return { online: "synced", stopped: "stopped", syncing: "not in step" }[c.connection.status] ?? "offline";
    case "conversations":
      return String(c.conversations().length);
    case "draft":
      return showsDraft(c, actor, player.draft(step.draft));
    case "presence":
      return showPresence((await c.presence([step.user]))[0]);
    case "presenceTold":
      return actor.presences.has(step.user) ? showPresence(actor.presences.get(step.user)) : "not told";
    case "profile": {
      const [{ name, picture }] = await c.profiles([step.user]);
      return `${name} ${picture}`;
    }
    case "devices":
      return list((await c.devices()).map(showDevice).sort());
  }
  const id = player.room(step.in);
  switch (step.expect) {
    case "received":
      return list((actor.received.get(id) ?? []).map((l) => l.text));
    case "restored":
      return String(actor.restored.get(id) ?? 0);
    case "typing":
      return list([...(actor.typing.get(id) ?? [])].sort());
    case "members":
      return list((await c.members(id)).map((m) => `${m.user} ${m.role}`).sort());
  }
  const v = c.conversation(id);
  if (v === undefined) throw new Error("it does not hold the conversation");
  return showsConversation(c, actor, v, step);
}

/** A presence in one word. Who is not online has been seen in this scenario, so not
 * long ago, or it is not known when. */
function showPresence({ hidden, online, lastSeen }) {
  if (hidden) return "hidden";
  return online ? "online" : showSeen(lastSeen);
}

function showSeen(at) {
  if (at === undefined) return "offline";
  const ago = Date.now() - at;
  return ago < -60_000 || ago > 600_000 ? `seen ${at}` : "seen";
}

/** One of the user's devices, as "phone scenario online current". */
function showDevice({ name, platform, online, lastSeen, current }) {
  return [name, platform, online ? "online" : showSeen(lastSeen), ...(current ? ["current"] : [])].join(" ");
}

function showsDraft(c, actor, id) {
  const d = actor.drafts.get(id);
  switch (d?.status) {
    case undefined:
      return "queued"; // and nothing was told of it yet
    case "failed":
      return `failed ${d.error.code}`;
    case "sent":
      return c.conversation(d.conversation)?.tick(d.seq) ?? "sent";
  }
  return d.status;
}

async function showsConversation(c, actor, v, step) {
  switch (step.expect) {
    case "unread":
      return String(v.unread);
    case "flagged":
      return String(v.markedUnread);
    case "muted":
      return String(v.mutedUntil !== undefined && v.mutedUntil > new Date());
    case "read":
      return String(v.read);
    case "title":
      return v.title;
    case "memberName":
      return v.members?.find((m) => m.user === step.user)?.name ?? "nobody";
    case "role":
      return v.left ? "none" : v.role;
    case "failed":
      return list(c.drafts(v.id).filter((d) => d.status === "failed").map((d) => `${d.error.code}: ${d.text}`));
  }
  const { items, holes } = await c.messages(v.id);
  const messages = items.filter((m) => m.type === "message");
  switch (step.expect) {
    case "holes":
      return list(holes.map((h) => `${h.from}-${h.to}`));
    case "messages":
    case "same":
      return list([...holes.map((h) => `hole ${h.from}-${h.to}`), ...messages.map(show)]);
    case "messagesOf":
      return list(messages.filter((m) => m.from === step.user && (m.text ?? "").startsWith(step.starting ?? "")).map(show));
    case "tick": {
      const own = messages.find((m) => m.from === actor.user && m.text === step.text);
      return own === undefined ? "not there" : v.tick(own.seq);
    }
  }
  throw new Error(`unknown expectation ${step.expect}`);
}
