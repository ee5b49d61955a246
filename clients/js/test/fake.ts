// A server whose every word a test writes.
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import WebSocket, { WebSocketServer } from "ws";
import { Client, MemoryStore, type AnyEvent, type EventName, type Events, type Options, type WebSocketConstructor } from "../src/index.js";
import { fromHex } from "../src/wire/bytes.js";
import { decode, encode, join, type Init, type Subprotocol } from "../src/wire/codec.js";
import * as wire from "../src/wire/schema.js";

export const webSocket = WebSocket as unknown as WebSocketConstructor;

/** A token of which only the middle is one. */
export function tokenOf(user: string): string {
  return `x.${Buffer.from(JSON.stringify({ sub: user })).toString("base64url")}.x`;
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The nth conversation of a test. */
export const room = (n = 1): string => n.toString(16).padStart(32, "0");

/** What something is about to be. */
export async function until(what: string, is: () => boolean, ms = 5_000): Promise<void> {
  for (const end = performance.now() + ms; !is(); await sleep(2)) assert.ok(performance.now() < end, `${what}: not within ${ms} ms`);
}

/** The next event of a name that a test is content with. */
export function next<N extends EventName>(c: Client, name: N, is: (e: Events[N]) => boolean = () => true, ms = 5_000): Promise<Events[N]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no event ${name} within ${ms} ms`)), ms);
    const off = c.on(name, (e) => {
      if (!is(e)) return;
      clearTimeout(timer);
      off();
      resolve(e);
    });
  });
}

/** All events of some names from now on. */
export function record(c: Client, ...names: EventName[]): AnyEvent[] {
  const all: AnyEvent[] = [];
  for (const n of names) c.on(n, (e) => all.push(e));
  return all;
}

type Answer = Init<wire.ServerMessage>;

/** One connection of a client. */
export class FakeConnection {
  readonly url: URL;
  readonly protocols: string[];
  readonly device: string;
  /** Answered without the test's doing, and still to be seen in `seen`. */
  readonly auto: { sync: boolean; acknowledge: boolean; state: boolean; members: boolean; previews: boolean; watch: boolean } = {
    sync: true, acknowledge: true, state: true, members: true, previews: true, watch: true,
  };
  readonly seen: wire.Request[] = [];
  readonly frames: number[] = [];
  /** What a sync lists. */
  states: Init<wire.State>[] = [];
  incarnation = 1n;
  closed: { code: number } | undefined;
  private readonly queue: wire.Request[] = [];
  private readonly takers: ((r: wire.Request) => void)[] = [];

  constructor(readonly ws: WebSocket, request: IncomingMessage, readonly subprotocol: Subprotocol) {
    this.url = new URL(request.url ?? "", "ws://fake");
    this.protocols = String(request.headers["sec-websocket-protocol"]).split(",").map((p) => p.trim());
    this.device = this.url.searchParams.get("device") ?? "";
    ws.binaryType = "nodebuffer";
    ws.on("close", (code) => (this.closed = { code }));
    ws.on("message", (data: Buffer, binary) => {
      this.frames.push(data.length);
      assert.equal(binary, subprotocol === "proto");
      for (const r of decode("Request", binary ? data : data.toString())) this.received(r);
    });
  }

  get token(): string {
    return this.protocols.find((p) => p.startsWith("parley.token."))!.slice("parley.token.".length);
  }

  private received(r: wire.Request): void {
    this.seen.push(r);
    if (r.sync && this.auto.sync) this.reply(r, this.page(this.states));
    else if (r.acknowledge && this.auto.acknowledge) this.reply(r, { done: {} });
    else if (r.watch && this.auto.watch) this.reply(r, { presences: {} });
    else if (r.history?.limit === 1 && this.auto.previews) this.reply(r, { page: { conversation: r.history.conversation, from: 1, to: 0 } });
    else if (r.state && this.auto.state) this.reply(r, { error: { code: 2001, name: "not_member" } });
    else if (r.members && this.auto.members) this.reply(r, { error: { code: 2001, name: "not_member" } });
    else {
      const taker = this.takers.shift();
      if (taker) taker(r);
      else this.queue.push(r);
    }
  }

  page(states: Init<wire.State>[], more: Init<wire.SyncPage> = {}): Answer {
    return { syncPage: { states, cursor: new Uint8Array([1]), authoritative: true, incarnation: this.incarnation, ...more } };
  }

  /** The next request that is not answered by itself. */
  async request(ms = 5_000): Promise<wire.Request> {
    const first = this.queue.shift();
    if (first) return first;
    return new Promise((resolve, reject) => {
      const taker = (r: wire.Request) => {
        clearTimeout(timer);
        resolve(r);
      };
      const timer = setTimeout(() => {
        this.takers.splice(this.takers.indexOf(taker), 1);
        reject(new Error(`no request within ${ms} ms`));
      }, ms);
      this.takers.push(taker);
    });
  }

  /** The next n requests, which must be sends: as "number text". */
  async sends(n: number): Promise<wire.Request[]> {
    const all: wire.Request[] = [];
    for (let i = 0; i < n; i++) {
      const r = await this.request();
      assert.ok(r.send, `expected a send, got ${JSON.stringify(Object.keys(r))}`);
      all.push(r);
    }
    return all;
  }

  /** The next send, past reads of what is missing, which are refused. */
  async sendOf(): Promise<wire.Request> {
    for (;;) {
      const r = await this.request();
      if (r.send) return r;
      this.reply(r, refuse(2001));
    }
  }

  /** Fails if a request comes. */
  async silent(ms: number): Promise<void> {
    await sleep(ms);
    assert.deepEqual(this.queue.map((r) => Object.keys(r).filter((k) => r[k as keyof wire.Request])), []);
  }

  say(...all: Answer[]): void {
    this.ws.send(join(this.subprotocol, all.map((m) => encode(this.subprotocol, "ServerMessage", m))));
  }

  reply(r: wire.Request, m: Answer): void {
    this.say({ ...m, replyTo: r.id });
  }

  welcome(w: Init<wire.Welcome> = {}): void {
    this.incarnation = w.incarnation ?? 1n;
    this.say({ welcome: { user: "ann", stream: 7n, incarnation: 1n, heartbeatMs: 30_000, bodyMax: 61_440, frameMax: 65_536, requestsMax: 1_024, ...w } });
  }

  close(code: number): void {
    this.ws.close(code);
  }

  cut(): void {
    this.ws.terminate();
  }
}

export class Fake {
  private readonly waiting: FakeConnection[] = [];
  private readonly takers: ((c: FakeConnection) => void)[] = [];
  private readonly clients: Client[] = [];
  connections = 0;

  private constructor(private readonly server: WebSocketServer, readonly url: string) {
    server.on("connection", (ws, request) => {
      this.connections++;
      const c = new FakeConnection(ws, request, ws.protocol === "parley.v1.json" ? "json" : "proto");
      const taker = this.takers.shift();
      if (taker) taker(c);
      else this.waiting.push(c);
    });
  }

  static async start(): Promise<Fake> {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: (all) => [...all][0] ?? false });
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    return new Fake(server, `ws://127.0.0.1:${port}/ws`);
  }

  async accept(ms = 5_000): Promise<FakeConnection> {
    const first = this.waiting.shift();
    if (first) return first;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no connection within ${ms} ms`)), ms);
      this.takers.push((c) => {
        clearTimeout(timer);
        resolve(c);
      });
    });
  }

  async open(o: Partial<Options> = {}): Promise<Client> {
    const c = await Client.open({ url: this.url, token: () => tokenOf("ann"), webSocket, store: new MemoryStore(), ...o });
    this.clients.push(c);
    return c;
  }

  /** A client that is online, and its connection. */
  async online(states: Init<wire.State>[] = [], o: Partial<Options> = {}, w: Init<wire.Welcome> = {}): Promise<{ c: Client; s: FakeConnection }> {
    const c = await this.open(o);
    const s = await this.accept();
    s.states = states;
    s.welcome(w);
    await until("online", () => c.connection.status === "online");
    return { c, s };
  }

  async stop(): Promise<void> {
    for (const ws of this.server.clients) ws.terminate();
    await Promise.all(this.clients.map((c) => c.close()));
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Runs a test with a server, and stops it. */
export function withFake(run: (fake: Fake) => Promise<void>): () => Promise<void> {
  return async () => {
    const fake = await Fake.start();
    try {
      await run(fake);
    } finally {
      await fake.stop();
    }
  };
}

/** The state of the direct conversation with bob. */
export function state(s: Init<wire.State> & { n?: number } = {}): Init<wire.State> {
  const { n = 1, ...rest } = s;
  return {
    conversation: fromHex(room(n)), kind: wire.CONVERSATION_DIRECT, version: 1, changed: 1_000_000, role: wire.ROLE_MEMBER,
    peer: { user: "bob", role: wire.ROLE_MEMBER }, ...rest,
  };
}

/** A message of bob's, or somebody else's. */
export function message(seq: number, m: Init<wire.Message> & { n?: number } = {}): Init<wire.Message> {
  const { n = 1, ...rest } = m;
  return { conversation: fromHex(room(n)), seq, ordinal: seq, version: seq + 1, from: "bob", stream: 99n, number: seq, kind: wire.KIND_TEXT, at: seq * 1_000_000, text: `m${seq}`, ...rest };
}

/** A page of messages from..to, as a server would give it. */
export function pageOf(from: number, to: number, last: number, m: Init<wire.Message> & { n?: number } = {}): Init<wire.ServerMessage> {
  const items: Init<wire.Item>[] = [];
  for (let seq = from; seq <= to; seq++) items.push({ message: message(seq, m) });
  return { page: { conversation: fromHex(room(m.n ?? 1)), last, version: last + 1, from, to, items } };
}

export const sent = (seq: number): Init<wire.ServerMessage> => ({ sent: { seq, version: seq + 1, at: seq * 1_000_000 } });
const codes: Record<number, string> = { 1001: "overloaded", 1005: "retry_in_order", 1006: "resend_unknown", 2001: "not_member", 2003: "too_large", 2005: "number_reused", 3001: "bad_token" };
export const refuse = (code: number, more: Init<wire.Error> = {}): Init<wire.ServerMessage> => ({ error: { code, name: codes[code] ?? "", message: "no", ...more } });
export const textsOf = (rs: readonly wire.Request[]): string[] => rs.map((r) => `${r.send?.number} ${r.send?.text}`);
