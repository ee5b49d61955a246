import { ParleyError, StoreError, tokenError } from "../errors.js";
import { randomHex } from "../wire/bytes.js";
import * as wire from "../wire/schema.js";
import { backoff, pause } from "./clock.js";
import type { Core } from "./core.js";
import { CloseError, networkError, Session } from "./session.js";

/** How the last attempt ended. */
interface End {
  readonly welcomed: boolean;
  /** It was of use: what made it end is new. */
  readonly synced?: boolean;
  /** How long the server wants to be left alone, undefined if it said nothing. */
  readonly backIn?: number | undefined;
  readonly error: unknown;
}

/** Keeps the client connected until it stops. */
export async function connect(core: Core): Promise<void> {
  let [attempts, refused] = [0, 0];
  const next: { token?: string } = {};
  const { signal } = core.stopping;
  while (!signal.aborted) {
    core.connectionIs({ status: "connecting" });
    const { welcomed, synced, backIn, error } = await attempt(core, next);
    if (signal.aborted) return;
    if (welcomed) refused = 0;
    if (synced) attempts = 0;
    const failure = networkError(error);
    const expired = error instanceof CloseError && error.code === 4301; // which is no refusal of the next
    if (failure.code === "bad_token" && !expired) refused++;
    const fatal = failure.code === "revoked" || failure.code === "replaced" || failure.code === "protocol" ||
      error instanceof StoreError || failure.code === "bad_token" && refused > 1;
    if (fatal) {
      if (failure.code === "revoked") await newDevice(core);
      core.giveUp(failure);
      return;
    }
    if (next.token !== undefined || failure.code === "bad_token" && backIn === undefined && (synced || !expired)) continue;
    // At once after the first loss.
    const wait = backIn ?? (attempts === 0 ? Math.random() * 100 : backoff(attempts - 1));
    attempts++;
    core.connectionIs({ status: "offline", retryAt: Date.now() + wait, error: failure.toFailure() });
    await pauseFor(core, wait);
  }
}

/** Waits, or until something says that it may work now. */
async function pauseFor(core: Core, ms: number): Promise<void> {
  await pause(ms, (over) => {
    core.nudge = over;
    if (core.stopping.signal.aborted) over();
  });
  core.nudge = () => {};
}

/** Connects, and waits until the connection ends. `next` holds a token that was
 * fetched for it already, and is given one for the next. */
async function attempt(core: Core, next: { token?: string }): Promise<End> {
  let s: Session | undefined;
  try {
    const token = next.token ?? await fetchToken(core);
    delete next.token;
    if (core.stopping.signal.aborted) return { welcomed: false, error: undefined };
    await core.committed(); // the device's id, before anybody hears it
    s = await Session.open({
      url: urlOf(core), token, subprotocol: core.o.subprotocol, webSocket: core.o.webSocket,
      handle: (session, messages) => handle(core, session, messages, next),
    }, core.stopping.signal);
    await attach(core, s);
  } catch (e) {
    s?.close();
    return { welcomed: s !== undefined, error: e };
  }
  const error = await s.ended;
  detach(core, s);
  return { welcomed: true, synced: s.synced, backIn: s.backIn, error };
}

async function fetchToken(core: Core): Promise<string> {
  try {
    const token = await core.o.token();
    if (typeof token === "string" && /^[\w.~+/=-]+$/.test(token)) return token;
  } catch (e) {
    throw tokenError(e);
  }
  throw new ParleyError("token", "what was given is no token");
}

/** Where to connect, and as which device. */
function urlOf(core: Core): string {
  const url = new URL(core.o.url);
  for (const [key, v] of Object.entries({ device: core.meta.device, ...core.o.device })) if (v) url.searchParams.set(key, v);
  return url.href;
}

/** A device that was shut out is another one after the next login. Its outbox stays. */
async function newDevice(core: Core): Promise<void> {
  core.meta = { ...core.meta, device: randomHex(16) };
  core.putMeta();
  await core.committed().catch(() => {});
}

/** Makes a session the client's. */
async function attach(core: Core, s: Session): Promise<void> {
  const w = s.welcome;
  await core.committed();
  core.usable();
  const { meta } = core;
  if (meta.user === "") meta.user = w.user;
  if (meta.user !== w.user) throw new StoreError("other_user", `the store is of ${meta.user}, the token of ${w.user}`);
  meta.bodyMax = w.bodyMax;
  if (meta.stream === 0n) core.outbox.useStream(w.stream);
  if (meta.incarnation === 0n) meta.incarnation = w.incarnation;
  else if (meta.incarnation !== w.incarnation) core.restorer.begin(s);
  core.putMeta();
  core.session = s;
  core.sync.start(s);
  core.live.attached();
  core.outbox.pump();
  core.wakeOnline();
  s.start();
}

/** Takes the session away, and tells everybody who waits for an answer. */
function detach(core: Core, s: Session): void {
  core.session = undefined;
  s.abandon();
  core.outbox.lost();
  for (const v of core.conversations.values()) {
    v.sentDelivered = v.sentRead = 0;
    v.pulling = v.stateDue = false;
  }
  core.pulls.clear();
}

/** Takes what the server sent. What came with one reading is durable before the next
 * is taken: meanwhile more gathers, for one transaction. */
async function handle(core: Core, s: Session, messages: wire.ServerMessage[], next: { token?: string }): Promise<void> {
  for (const m of messages) {
    if (m.replyTo !== 0) s.reply(m);
    else take(core, s, m, next);
  }
  core.tend();
  await core.settled().catch(() => {});
}

function take(core: Core, s: Session, m: wire.ServerMessage, next: { token?: string }): void {
  if (m.message) {
    s.pushes++;
    core.inbox.message(s, m.message);
  } else if (m.marks) {
    s.pushes++;
    core.inbox.marks(s, m.marks);
  } else if (m.state) {
    s.pushes++;
    core.inbox.state(s, m.state);
  } else if (m.check) {
    // Pushes are counted whether they reached us or not.
    if (s.pushes < m.check.pushes) core.sync.start(s);
    s.pushes = m.check.pushes;
  } else if (m.presences) {
    core.live.presences(m.presences);
  } else if (m.typing) {
    core.live.typed(m.typing);
  } else if (m.profiles) {
    core.live.profiled(m.profiles);
  } else if (m.goingAway) {
    s.backIn = Math.max(m.goingAway.retryAfterMs, 1);
    s.leave();
  } else if (m.tokenExpiring) {
    replaceToken(core, s, m.tokenExpiring.expiresInMs, next);
  }
}

/** Has the token replaced: at once, or, if it had hardly more when the session began,
 * when half of that is over: its successor may be as short. */
function replaceToken(core: Core, s: Session, left: number, next: { token?: string }): void {
  const short = left > s.welcome.tokenExpiresInMs / 2 && s.welcome.tokenExpiresInMs > 0;
  const timer = setTimeout(() => void renewToken(core, s, next), short ? left / 2 : 0);
  void s.ended.then(() => clearTimeout(timer));
}

/** Gets a fresh token while the session still stands, and goes over to it. Without
 * one the session stays, until the server ends it. */
async function renewToken(core: Core, s: Session, next: { token?: string }): Promise<void> {
  try {
    const token = await fetchToken(core);
    if (!s.open) return;
    next.token = token;
    s.leave();
  } catch {
    // The next connection asks again, and says so.
  }
}
