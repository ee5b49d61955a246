// An actor: a device of a user, with the SDK that is tested. It does what an app
// does: it takes events, and shows what they bring.
import WebSocket from "ws";
import { Client, MemoryStore } from "../dist/index.js";

/** How long an actor waits before it tries to connect again, as one does who has a button for it. */
const reconnectAfter = 50;

export class Actor {
  constructor(player, name, actor) {
    this.player = player;
    this.name = name;
    this.user = actor.user;
    this.actor = actor;
    this.reset();
  }

  /** Forgets what was shown. */
  reset() {
    this.received = new Map(); // by conversation: {seq, text} as events brought them since it was opened
    this.restored = new Map(); // by conversation: from where
    this.drafts = new Map(); // by id, as told last
    this.presences = new Map(); // by user, as told last
    this.typing = new Map(); // by conversation: a set of who writes there
    this.fault = undefined; // what no SDK may do
    this.changed = () => {}; // is called at each event
  }

  /** Opens the device: the one that was closed, or a fresh one. */
  async open(fresh) {
    if (this.client !== undefined) throw new Error(`${this.name} is open`);
    if (fresh || this.store === undefined) this.store = new MemoryStore();
    const { stage, subprotocol } = this.player;
    const { url } = await stage.actor(this.name);
    this.reset();
    this.client = await Client.open({
      url, subprotocol, store: this.store, webSocket: WebSocket, device: { name: this.name, platform: "scenario" },
      token: () => stage.token(this.user, this.actor.tokenMs ?? 3_600_000),
      ...(this.actor.catchUp > 0 ? { catchUpMax: this.actor.catchUp } : {}),
    });
    for (const name of ["connection", "conversation", "messages", "draft", "gone", "restored", "presence", "typing", "trouble", "stopped"]) {
      this.client.on(name, (event) => this.take(event));
    }
    this.take({ type: "connection", connection: this.client.connection });
  }

  /** Closes the device. Its store stays. */
  async close() {
    if (this.client === undefined) throw new Error(`${this.name} is not open`);
    const client = this.client;
    this.client = undefined;
    clearTimeout(this.again);
    await client.close();
  }

  take(event) {
    switch (event.type) {
      case "connection":
        clearTimeout(this.again);
        if (event.connection.status === "offline") {
          this.again = setTimeout(() => this.client?.reconnect(), reconnectAfter);
        }
        break;
      case "messages":
        this.takeMessages(event);
        break;
      case "draft":
        this.drafts.set(event.draft.id, event.draft);
        break;
      case "presence":
        this.presences.set(event.presence.user, event.presence);
        break;
      case "typing": {
        const users = this.typing.get(event.id) ?? new Set();
        this.typing.set(event.id, users);
        if (event.active) users.add(event.user);
        else users.delete(event.user);
        break;
      }
      case "restored":
        this.restored.set(event.id, event.from);
        this.received.set(event.id, (this.received.get(event.id) ?? []).filter((l) => l.seq < event.from));
        break;
      case "trouble":
        this.fault ??= `${this.name} is told of trouble: ${event.error.code}: ${event.error.message}`;
        break;
    }
    this.changed();
  }

  /** Adds messages to what is shown. They come in order, none twice. */
  takeMessages({ id, items }) {
    const shown = this.received.get(id) ?? [];
    for (const m of items) {
      if (m.type !== "message") continue;
      const [last, next] = [shown.at(-1), { seq: m.seq, text: show(m) }];
      if (last !== undefined && last.seq >= next.seq) {
        this.fault ??= `${this.name} received ${next.seq} ${JSON.stringify(next.text)} after ${last.seq} ${JSON.stringify(last.text)}`;
      }
      shown.push(next);
    }
    this.received.set(id, shown);
  }
}

/** How many bytes of a text are shown; of more, the ends. */
const wholeMax = 300;

/** Writes a message as a scenario does. */
export function show(m) {
  if (m.event !== undefined) return `* ${m.from} ${showEvent(m.event)}`;
  let text = m.text ?? `${m.kind} ${m.data?.length}`;
  const bytes = Buffer.byteLength(text);
  if (bytes > wholeMax) {
    const points = Array.from(text);
    text = `${points.slice(0, 10).join("")}…${points.slice(-10).join("")} (${bytes} bytes)`;
  }
  return `${m.from}: ${text}`;
}

function showEvent(e) {
  const users = e.users.join(", ");
  switch (e.type) {
    case "created":
      return `created ${e.title}` + (users === "" ? "" : ` with ${users}`);
    case "role":
      return `made ${users} ${e.role}`;
    case "left":
      return "left";
    case "renamed":
      return `named it ${e.title}`;
  }
  return `${e.type} ${users}`;
}
