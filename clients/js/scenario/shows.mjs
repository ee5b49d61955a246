// What actors show, written as a scenario writes it.
import { show } from "./actor.mjs";

export const list = (texts) => texts.map((t) => `\t${t}\n`).join("");

/** What a step expects. */
export function want(step) {
  if (step.expect === "connections") return `at most ${step.atMost}`;
  if (step.expect === "draft") return [step.is, step.error].filter((x) => x !== undefined).join(" ");
  return step.is === undefined ? list(step.are) : String(step.is);
}

/** What an actor shows of what a step asks for. */
export async function shows(player, actor, step) {
  if (step.expect === "connections") {
    const { connections } = await player.stage.actor(actor.name);
    return connections <= step.atMost ? want(step) : String(connections);
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
  }
  const id = player.room(step.in);
  switch (step.expect) {
    case "received":
      return list((actor.received.get(id) ?? []).map((l) => l.text));
    case "restored":
      return String(actor.restored.get(id) ?? 0);
    case "members":
      return list((await c.members(id)).map((m) => `${m.user} ${m.role}`).sort());
  }
  const v = c.conversation(id);
  if (v === undefined) throw new Error("it does not hold the conversation");
  return showsConversation(c, actor, v, step);
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
