import type { AnyEvent, Failure } from "./api.js";
import { once, type CallName, type Calls } from "./core/calls.js";
import { now } from "./core/clock.js";
import { Core, stoppedPatch, type CoreOptions, type Patch } from "./core/core.js";
import { closedError, erasedError, ParleyError, reasonOf, StoreError } from "./errors.js";
import { MemoryStore } from "./memory-store.js";
import type { Store } from "./store.js";
import { randomHex } from "./wire/bytes.js";

// The tabs of one browser are one device. A lock says which of them leads: it alone has
// the store and the session. Over a channel it posts to the others what changes, and
// they post what is asked of it. When it goes, the next in the queue of the lock takes
// over from the store, and the calls that were not answered are made again.

/** A leader of which nothing is heard for so long is asked, and then taken over from:
 * browsers may freeze a tab that holds a lock. */
const askAfter = 3_000;
const takeAfter = 8_000;
/** How many calls of a tab may wait for the leader. */
const callsMax = 1_000;

type Post = Said & { readonly from: string };
type Said = { readonly to?: string } & (
  | { readonly kind: "hello" | "lead" | "bye" | "ping" | "pong" | "erased" }
  | { readonly kind: "snapshot" | "patch"; readonly patch: Patch; readonly durable?: boolean }
  | { readonly kind: "call"; readonly id: number; readonly name: CallName; readonly args: unknown[] }
  | { readonly kind: "answer"; readonly id: number; readonly value?: unknown; readonly error?: Posted }
);

/** An error as it is posted. */
interface Posted extends Failure {
  readonly retryAfter: number;
  readonly store: boolean;
}

interface Waiting {
  readonly name: CallName;
  readonly args: unknown[];
  readonly since: number;
  resolve(value: unknown): void;
  reject(e: unknown): void;
}

/** What a tab is told. */
export interface Told {
  replace(p: Patch): void;
  apply(p: Patch): void;
  events(...events: AnyEvent[]): void;
}

/** A device, wherever it is: in this tab or in another. */
export interface Link {
  readonly leader: boolean;
  readonly durable: boolean;
  call<N extends CallName>(name: N, ...args: Parameters<Calls[N]>): Promise<Awaited<ReturnType<Calls[N]>>>;
  watch(ids: readonly string[]): void;
  close(): Promise<void>;
  erase(): Promise<void>;
}

/** A device of this tab alone. */
export class Alone implements Link {
  readonly leader = true;
  readonly #core: Core;

  private constructor(core: Core, readonly durable: boolean) {
    this.#core = core;
  }

  static async open(o: CoreOptions, store: Store, user: string, told: Told): Promise<Alone> {
    const core = await Core.load(o, store, user, (p) => told.apply(p));
    told.replace(core.snapshot());
    core.start();
    return new Alone(core, !(store instanceof MemoryStore));
  }

  async call<N extends CallName>(name: N, ...args: Parameters<Calls[N]>): Promise<Awaited<ReturnType<Calls[N]>>> {
    return (await perform(this.#core, name, args)) as Awaited<ReturnType<Calls[N]>>;
  }

  watch(ids: readonly string[]): void {
    this.#core.live.watch("", ids);
  }

  close(): Promise<void> {
    return this.#core.close();
  }

  async erase(): Promise<void> {
    this.#core.giveUp(erasedError());
    await this.#core.close();
    await this.#core.store.erase();
  }
}

function perform(core: Core, name: CallName, args: unknown[]): unknown {
  core.tend();
  return (core.calls[name] as (...args: unknown[]) => unknown)(...args);
}

/** What is shared, and whom this tab tells of it. */
interface Shared {
  readonly core: CoreOptions;
  readonly name: string;
  readonly user: string;
  readonly makeStore: () => Store;
  readonly told: Told;
}

/** A device that the tabs of a browser share. */
export class Tabs implements Link {
  durable = true;
  readonly #id = randomHex(8);
  readonly #channel: BroadcastChannel;
  #core: Core | undefined;
  readonly #followers = new Set<string>();
  readonly #waiting = new Map<number, Waiting>();
  #lastCall = 0;
  #watched: readonly string[] = [];
  #heard = now();
  #opened = false;
  /** The tab that leads, where it is another and was heard of. */
  #leader = "";
  /** Has the lock; the core is there, or being loaded. */
  #leads = false;
  #closed = false;
  #failed: ParleyError | undefined;
  #queue = new AbortController();
  /** Ends the hold on the lock. */
  #release: () => void = () => {};
  #releaseOwn: () => void = () => {};
  readonly #own: Promise<void>;
  readonly #watchdog: ReturnType<typeof setInterval>;
  #ready!: () => void;
  #unready!: (e: unknown) => void;

  readonly #o: Shared;

  private constructor(o: Shared) {
    this.#o = o;
    const { name } = o;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = (e: MessageEvent<Post>) => this.#received(e.data);
    this.#watchdog = setInterval(() => this.#watchLeader(), 1_000);
    // Held as long as the tab lives, so that the leader sees when it is gone; and held before
    // the leader hears of it, or the leader would get the lock and take the tab for gone.
    this.#own = new Promise((held) => {
      void navigator.locks.request(this.#tabLock(this.#id), () => new Promise<void>((resolve) => {
        this.#releaseOwn = resolve;
        held();
      }));
    });
  }

  static async open(o: Shared): Promise<Tabs> {
    const tabs = new Tabs(o);
    const opened = new Promise<void>((resolve, reject) => {
      tabs.#ready = resolve;
      tabs.#unready = reject;
    });
    tabs.#stand(false);
    tabs.#hello();
    await opened;
    return tabs;
  }

  get leader(): boolean {
    return this.#core !== undefined;
  }

  #tabLock(tab: string): string {
    return `${this.#o.name} tab ${tab}`;
  }

  // Leading

  /** Waits for the lock, or takes it from a leader that does not answer. */
  #stand(steal: boolean): void {
    this.#queue.abort();
    const queue = (this.#queue = new AbortController());
    const held = () => this.#lead(queue.signal);
    const granted = steal
      ? navigator.locks.request(this.#o.name, { steal: true }, held)
      : navigator.locks.request(this.#o.name, { signal: queue.signal }, held);
    granted.catch((e: unknown) => {
      // Somebody took the lock, or this tab does not want it any more.
      if (!this.#closed && !queue.signal.aborted) this.#stepDown(e);
    });
  }

  /** Leads, until it is released. */
  async #lead(lost: AbortSignal): Promise<void> {
    if (this.#failed) return;
    const released = new Promise<void>((resolve) => (this.#release = resolve));
    this.#leads = true;
    let core: Core;
    try {
      core = await this.#load();
    } catch (e) {
      this.#unready(e);
      await this.close();
      return;
    }
    if (lost.aborted) { // it was closed meanwhile, or another tab took the lock
      core.giveUp(closedError());
      await core.close();
      return;
    }
    this.#core = core;
    this.#followers.clear();
    this.#open(core.snapshot());
    this.#o.told.events({ type: "leader", leader: true });
    core.live.watch(this.#id, this.#watched);
    core.start();
    this.#post({ kind: "lead" });
    this.#again((w) => perform(core, w.name, w.args));
    await released;
  }

  /** Loads the device. A browser whose database does not work gets one in memory. */
  async #load(): Promise<Core> {
    const { core, user, makeStore } = this.#o;
    const emit = (p: Patch) => this.#emit(p);
    try {
      return await Core.load(core, makeStore(), user, emit);
    } catch (e) {
      if (!(e instanceof StoreError)) throw e;
      this.durable = false;
      this.#o.told.events({ type: "trouble", error: e.toFailure() });
      return Core.load(core, new MemoryStore(), user, emit);
    }
  }

  /** Tells what has changed, here and in the other tabs. */
  #emit(p: Patch): void {
    if (endOf(p)?.code === "replaced" && !this.#closed) {
      // Another tab leads, or another client has this one's outbox; the lock tells. Where
      // only the store was loaded by somebody, it is loaded again.
      setTimeout(() => {
        const why = this.#core?.stopped;
        if (why instanceof StoreError) this.#stepDown(why);
        else if (why) this.#tell(p);
      }, 500);
    } else {
      this.#tell(p);
    }
  }

  #tell(p: Patch): void {
    if (this.#followers.size > 0) this.#post({ kind: "patch", patch: p });
    this.#hear(p);
  }

  /** Takes over what has changed, and ends with the device. */
  #hear(p: Patch): void {
    this.#o.told.apply(p);
    const end = endOf(p);
    if (end) void this.close(new ParleyError(end.code, end.message));
  }

  /** Goes on as a follower: another tab took the lock, while this one was frozen. */
  #stepDown(e: unknown): void {
    const core = this.#core;
    this.#core = undefined;
    this.#leads = false;
    this.#leader = "";
    this.#release();
    if (core) {
      core.giveUp(new ParleyError("closed", "another tab leads", { cause: e }));
      void core.store.close();
      this.#o.told.events({ type: "leader", leader: false });
    }
    this.#stand(false);
    this.#hello();
  }

  #hello(): void {
    void this.#own.then(() => this.#post({ kind: "hello" }));
  }

  // Following

  /** The first news of the device, or the whole of it from another leader. */
  #open(p: Patch): void {
    this.#o.told.replace(p);
    this.#opened = true;
    this.#ready();
  }

  /** Makes the calls again that no leader has answered, but for those that must not be
   * made twice. */
  #again(make: (w: Waiting) => unknown): void {
    const all = [...this.#waiting];
    this.#waiting.clear();
    for (const [, w] of all) {
      if (once.has(w.name)) w.reject(new ParleyError("interrupted", "another tab leads"));
      else Promise.resolve().then(() => make(w)).then(w.resolve, w.reject);
    }
  }

  #watchLeader(): void {
    if (this.#leads || this.#closed) return;
    const oldest = this.#opened ? Math.min(...[...this.#waiting.values()].map((w) => w.since)) : 0;
    const silent = now() - Math.max(this.#heard, oldest);
    if (oldest === Infinity || silent < askAfter) return;
    if (silent < takeAfter) this.#post({ kind: "ping" });
    else this.#stand(true);
  }

  // The channel

  #post(p: Said): void {
    if (!this.#closed) this.#channel.postMessage({ ...p, from: this.#id });
  }

  #received(p: Post): void {
    if (p.to !== undefined && p.to !== this.#id || this.#closed) return;
    if (p.kind === "ping" && this.#leads) this.#post({ kind: "pong", to: p.from });
    if (p.kind === "erased") {
      const e = erasedError();
      if (this.#core) this.#core.giveUp(e); // at once: what it wrote from now on would be there again
      else this.#hear(stoppedPatch(e));
      void this.close(e);
    } else if (this.#core && p.kind === "lead") {
      this.#stepDown(undefined);
      this.#followed(p);
    } else if (this.#core) {
      this.#lent(this.#core, p);
    } else {
      this.#followed(p);
    }
  }

  /** What the leader is asked. */
  #lent(core: Core, p: Post): void {
    if (p.kind === "hello") {
      if (!this.#followers.has(p.from)) {
        this.#followers.add(p.from);
        void navigator.locks.request(this.#tabLock(p.from), () => this.#left(p.from));
      }
      this.#post({ kind: "snapshot", to: p.from, patch: core.snapshot(), durable: this.durable });
    } else if (p.kind === "bye") {
      this.#left(p.from);
    } else if (p.kind === "call") {
      Promise.resolve().then(() => perform(core, p.name, p.args)).then(
        (value) => this.#post({ kind: "answer", to: p.from, id: p.id, value }),
        (e: unknown) => {
          // Who goes leaves the call to the next that leads.
          if (!core.stopped) this.#post({ kind: "answer", to: p.from, id: p.id, error: posted(e) });
        },
      );
    }
  }

  /** A follower is gone. */
  #left(tab: string): void {
    this.#followers.delete(tab);
    this.#core?.live.watch(tab, []);
  }

  /** What a follower hears of its leader. */
  #followed(p: Post): void {
    const led = this.#leader === p.from;
    if (p.kind === "pong" || p.kind === "lead" || led) this.#heard = now();
    if (p.kind === "lead") {
      this.#leader = p.from;
      this.#hello();
    } else if (p.kind === "snapshot" && (led || !this.#leader)) {
      this.#leader = p.from;
      this.durable = p.durable !== false;
      this.#open(p.patch);
      if (this.#watched.length > 0) this.watch(this.#watched);
      this.#again((w) => this.#remote(w.name, w.args));
    } else if (!led || !this.#opened) {
      // Of one that led before, and does not know yet; or not for those that follow.
    } else if (p.kind === "patch") {
      this.#hear(p.patch);
    } else if (p.kind === "answer") {
      const w = this.#waiting.get(p.id);
      this.#waiting.delete(p.id);
      if (p.error !== undefined) w?.reject(thrown(p.error));
      else w?.resolve(p.value);
    }
  }

  // Calls

  async call<N extends CallName>(name: N, ...args: Parameters<Calls[N]>): Promise<Awaited<ReturnType<Calls[N]>>> {
    if (this.#failed) throw this.#failed;
    const core = this.#core;
    if (!core) return (await this.#remote(name, args)) as Awaited<ReturnType<Calls[N]>>;
    try {
      return (await perform(core, name, args)) as Awaited<ReturnType<Calls[N]>>;
    } catch (e) {
      // The lock was taken meanwhile: the new leader is asked.
      if (!core.stopped || this.#closed || this.#core === core) throw e;
      if (once.has(name)) throw new ParleyError("interrupted", "another tab leads", { cause: e });
      return (await this.#remote(name, args)) as Awaited<ReturnType<Calls[N]>>;
    }
  }

  #remote(name: CallName, args: unknown[]): Promise<unknown> {
    if (this.#waiting.size >= callsMax) return Promise.reject(new ParleyError("overloaded", "too many calls wait"));
    return new Promise((resolve, reject) => {
      const id = ++this.#lastCall;
      this.#post({ kind: "call", id, name, args }); // which throws at what can not be posted
      this.#waiting.set(id, { name, args, since: now(), resolve, reject });
    });
  }

  watch(ids: readonly string[]): void {
    this.#watched = ids;
    if (this.#core) this.#core.live.watch(this.#id, ids);
    else this.#remote("watch", [this.#id, ids]).catch(() => {});
  }

  async close(why = closedError()): Promise<void> {
    if (this.#closed) return;
    this.#failed = why;
    this.#queue.abort();
    clearInterval(this.#watchdog);
    this.#post({ kind: "bye" });
    await this.#core?.close();
    this.#closed = true;
    this.#core = undefined;
    this.#channel.close();
    this.#release();
    this.#releaseOwn();
    for (const w of this.#waiting.values()) w.reject(why);
    this.#waiting.clear();
  }

  /** Closes in all tabs, and deletes what the device holds. */
  async erase(): Promise<void> {
    const e = erasedError();
    const store = this.#core?.store ?? this.#o.makeStore();
    this.#post({ kind: "erased" });
    this.#core?.giveUp(e);
    await this.close(e);
    await store.erase();
  }
}

/** Why a device came to its end, if a patch tells of it. */
function endOf(p: Patch): Failure | undefined {
  return p.events?.find((e) => e.type === "stopped")?.error;
}

function posted(e: unknown): Posted {
  if (!(e instanceof ParleyError)) return { code: "protocol", message: reasonOf(e), retryAfter: 0, store: false };
  return { code: e.code, message: e.message, retryAfter: e.retryAfter, store: e instanceof StoreError };
}

function thrown(e: Posted): ParleyError {
  return e.store ? new StoreError(e.code as StoreError["code"], e.message) : new ParleyError(e.code, e.message, { retryAfter: e.retryAfter });
}
