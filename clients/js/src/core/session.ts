import { ParleyError, reasonOf } from "../errors.js";
import { TOO_LARGE } from "../views.js";
import { decodeServer, encodeRequest, join, type Init, type Subprotocol } from "../wire/codec.js";
import * as wire from "../wire/schema.js";
import type { WebSocketConstructor, WebSocketLike } from "../api.js";
import { now } from "./clock.js";

/** How many drafts are on their way at once. */
const windowMax = 64;
/** How many of the requests that the server allows are left for others than sends. */
const reserve = 64;
/** How many requests a WebSocket message may have. */
const perFrameMax = 1024;
const frameMaxDefault = 64 * 1024;
/** How long a connection may take to be one. */
const openWait = 15_000;
/** How long a server that names no heartbeat may be silent. */
const silenceMax = 120_000;
/** How many bytes may wait to be handled while the store is slow. */
const inboxMax = 64 * 1024 * 1024;
/** How long answers may take before a connection is given up for another. */
const leaveWait = 5_000;

/** The end of a connection: with a code of the server's, or none. */
export class CloseError extends Error {
  constructor(readonly code: number, readonly reason: string) {
    super(`the connection ended: ${code}${reason ? " " + reason : ""}`);
  }
}

type Answer = (m: wire.ServerMessage | undefined) => void;
type Payload = string | ArrayBuffer;

export interface SessionOptions {
  readonly url: string;
  readonly token: string;
  readonly subprotocol: Subprotocol;
  readonly webSocket: WebSocketConstructor;
  /** Takes what one reading brought; the next is handed over when it resolves. */
  readonly handle: (s: Session, messages: wire.ServerMessage[]) => Promise<void>;
}

/** One connection to a server: requests and their answers, and what comes unasked. */
export class Session {
  welcome!: wire.Welcome;
  window = windowMax;
  /** Nothing new is sent: the server or the token is about to end it. */
  leaving = false;
  /** Resolves when it is over. */
  readonly ended: Promise<CloseError>;

  /** Drafts and searches, histories and states, acknowledgements on their way. */
  sends = 0;
  pulling = 0;
  acknowledging = 0;
  /** Pushes, counted as the server counts them. */
  pushes = 0;
  /** When the server wants to see the client again; undefined if it said nothing. */
  backIn: number | undefined;

  syncing = false;
  /** Something was missed while syncing. */
  syncAgain = false;
  synced = false;
  /** A page of this sync was not complete. */
  unavailable = false;
  seen: Set<string> | undefined;
  syncFails = 0;

  readonly #ws: WebSocketLike;
  readonly #answers = new Map<number, Answer>();
  #lastId = 0;
  #out: Init<wire.Request>[] = [];
  #unanswered = 0;
  #flushing = false;
  #inbox: Payload[] = [];
  #inboxBytes = 0;
  /** What came is being handed over, or may not be yet. */
  #draining = true;
  #first: wire.ServerMessage[] = [];
  #heard = now();
  #over = false;
  #watchdog: ReturnType<typeof setInterval> | undefined;
  #end!: (e: CloseError) => void;

  readonly #o: SessionOptions;

  private constructor(o: SessionOptions) {
    this.#o = o;
    this.ended = new Promise((resolve) => (this.#end = resolve));
    this.#ws = new o.webSocket(o.url, [`parley.v1.${o.subprotocol}`, `parley.token.${o.token}`]);
    this.#ws.binaryType = "arraybuffer";
    this.#ws.onclose = (e: { code: number; reason: string }) => this.#finish(new CloseError(e.code, String(e.reason)));
    this.#ws.onerror = () => {}; // onclose follows
  }

  /** Connects, and waits for the welcome. It rejects with a CloseError, or with what
   * the WebSocket throws at an URL or a token that can not be. */
  static async open(o: SessionOptions, signal: AbortSignal): Promise<Session> {
    const s = new Session(o);
    const abort = () => s.close();
    const timer = setTimeout(() => s.#fail("the server is silent"), openWait);
    signal.addEventListener("abort", abort);
    try {
      const first = new Promise<void>((resolve) => {
        s.#ws.onmessage = (e: { data: Payload }) => s.#begin(e.data, resolve);
      });
      const failed = await Promise.race([first, s.ended]);
      if (failed !== undefined) throw failed;
      return s;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }

  /** Whether requests may be made. */
  get open(): boolean {
    return !this.#over && !this.leaving;
  }

  /** Takes the message that begins with the welcome. */
  #begin(payload: Payload, resolve: () => void): void {
    this.#first = this.#parse(payload);
    const first = this.#first.shift();
    if (first?.welcome === undefined) {
      this.#fail("no welcome", 4200);
      return;
    }
    this.welcome = first.welcome;
    const most = this.welcome.requestsMax;
    if (most > 0) this.window = Math.min(this.window, Math.max(most - reserve, most >> 1, 1));
    this.#ws.onmessage = (e: { data: Payload }) => this.#received(e.data);
    const patience = 2 * this.welcome.heartbeatMs || silenceMax;
    this.#watchdog = setInterval(() => {
      if (now() - this.#heard > patience) this.#fail("the server is silent");
    }, Math.min(patience / 4, 10_000));
    resolve();
  }

  /** Has what came, and what comes, handed over. */
  start(): void {
    void this.#drain(this.#first);
  }

  #parse(payload: Payload): wire.ServerMessage[] {
    this.#heard = now();
    try {
      if ((typeof payload === "string") !== (this.#o.subprotocol === "json")) throw new Error("the other subprotocol");
      return decodeServer(payload);
    } catch (e) {
      this.#fail("not understood: " + reasonOf(e), 4200);
      return [];
    }
  }

  #received(payload: Payload): void {
    this.#heard = now();
    this.#inboxBytes += typeof payload === "string" ? 2 * payload.length : payload.byteLength;
    this.#inbox.push(payload);
    if (this.#inboxBytes > inboxMax) this.#fail("too much came");
    else if (!this.#draining) void this.#drain([]);
  }

  /** Hands over what has come, all of it at once, until nothing is left. */
  async #drain(messages: wire.ServerMessage[]): Promise<void> {
    this.#draining = true;
    do {
      for (const payload of this.#inbox.splice(0)) messages.push(...this.#parse(payload));
      this.#inboxBytes = 0;
      try {
        if (messages.length > 0) await this.#o.handle(this, messages.splice(0));
      } catch (e) {
        this.#fail("not taken: " + reasonOf(e)); // and the next session begins with a sync
      }
    } while (this.#inbox.length > 0 && !this.#over);
    this.#draining = false;
  }

  /** Sends a request. `answer` is called once: with the answer, or with nothing when
   * the session ended before, or is about to. */
  ask(request: Init<wire.Request>, answer: Answer): void {
    if (!this.open) {
      answer(undefined);
      return;
    }
    do this.#lastId = (this.#lastId + 1) >>> 0 || 1; while (this.#answers.has(this.#lastId));
    this.#answers.set(this.#lastId, answer);
    this.#out.push({ ...request, id: this.#lastId });
    this.#flushSoon();
  }

  /** Sends a request to which only a refusal would be answered. */
  tell(request: Init<wire.Request>): void {
    if (!this.open) return;
    this.#out.push(request);
    this.#flushSoon();
  }

  /** Passes an answer on; false if nothing asked for it. */
  reply(m: wire.ServerMessage): boolean {
    const answer = this.#answers.get(m.replyTo);
    if (answer === undefined) return false;
    this.#answers.delete(m.replyTo);
    this.#unanswered--;
    answer(m);
    if (this.#out.length > 0) this.#flushSoon();
    if (this.leaving && this.#answers.size === 0) this.close();
    return true;
  }

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Sends what has gathered, in as few WebSocket messages as it fits. */
  #flush(): void {
    const limit = this.welcome.frameMax || frameMaxDefault;
    const most = this.welcome.requestsMax || Infinity;
    let parts: Uint8Array[] = [];
    let size = 0;
    const write = () => {
      if (parts.length > 0) this.#ws.send(join(this.#o.subprotocol, parts));
      parts = [];
      size = 0;
    };
    while (this.#out.length > 0 && !this.#over && (this.#unanswered < most || !this.#out[0]!.id)) {
      const request = this.#out.shift()!;
      const part = encodeRequest(this.#o.subprotocol, request);
      if (request.id) this.#unanswered++;
      if (part.length > limit) {
        this.#tooLarge(request.id ?? 0, part.length);
        continue;
      }
      if (size + part.length > limit || parts.length === perFrameMax) write();
      parts.push(part);
      size += part.length;
    }
    if (!this.#over) write();
  }

  /** Answers a request that is too large alone as the server would. */
  #tooLarge(id: number, size: number): void {
    if (id === 0) return;
    const error: wire.Error = { code: TOO_LARGE, name: "too_large", message: `a request of ${size} bytes`, expected: 0, retryAfterMs: 0 };
    queueMicrotask(() => this.reply({ replyTo: id, error }));
  }

  /** Ends the session so that the next login changes something. */
  renew(): void {
    this.#fail("another login is needed");
  }

  /** Sends nothing more, and closes when all is answered, or after a while. */
  leave(): void {
    if (!this.open) return;
    this.leaving = true;
    if (this.#answers.size === 0) this.close();
    else setTimeout(() => this.close(), leaveWait);
  }

  /** Says goodbye. */
  close(): void {
    this.#fail("closed");
  }

  /** Expects something from the server soon, or gives the connection up. */
  probe(): void {
    if (!this.open) return;
    const before = now();
    this.ask({ acknowledge: { marks: [] } }, () => {});
    setTimeout(() => {
      if (this.#heard < before) this.#fail("the server is silent");
    }, leaveWait);
  }

  /** Gives the connection up, without waiting for anybody to agree. */
  #fail(why: string, code = 1000): void {
    try {
      this.#ws.close(code);
    } catch {
      // It was closed already.
    }
    this.#finish(new CloseError(1006, why));
  }

  #finish(e: CloseError): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#watchdog);
    this.#ws.onmessage = null;
    this.#ws.onclose = null;
    this.#end(e);
  }

  /** Tells everybody who waits for an answer that there will be none. */
  abandon(): void {
    const waiting = [...this.#answers.values()];
    this.#answers.clear();
    for (const answer of waiting) answer(undefined);
  }
}

/** What a failed connection is, as the app hears it. */
export function networkError(e: unknown): ParleyError {
  if (e instanceof ParleyError) return e;
  if (e instanceof CloseError) {
    const { code, message } = e;
    const kind = Math.floor(code / 100);
    return new ParleyError(code === 4302 ? "revoked" : code === 4202 ? "replaced" : kind === 42 ? "protocol" : kind === 43 ? "bad_token" : "network", message);
  }
  return new ParleyError("network", reasonOf(e), { cause: e });
}
