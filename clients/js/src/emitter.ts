import type { AnyEvent, EventName, Events, Item } from "./api.js";

type Listener = (event: AnyEvent) => void;

/** Past so many messages in one waiting event the oldest become a hole. */
const mergedMax = 1_000;

/** Tells events to whoever listens. */
export class Emitter {
  readonly #listeners = new Map<EventName, Set<Listener>>();
  readonly #streams = new Set<Stream>();
  #queue: AnyEvent[] = [];
  #ended = false;

  on<N extends EventName>(name: N, listener: (event: Events[N]) => void): () => void {
    const own: Listener = (e) => listener(e as Events[N]); // one that is added twice is called twice
    let all = this.#listeners.get(name);
    if (all === undefined) this.#listeners.set(name, (all = new Set()));
    all.add(own);
    return () => void all.delete(own);
  }

  stream(): AsyncIterableIterator<AnyEvent> {
    const s = new Stream(() => this.#streams.delete(s));
    if (this.#ended) s.end();
    else this.#streams.add(s);
    return s;
  }

  /** Tells events in their order, but not before the caller is done. */
  emit(events: readonly AnyEvent[]): void {
    if (events.length === 0) return;
    if (this.#queue.length === 0) queueMicrotask(() => this.#flush());
    this.#queue.push(...events);
  }

  #flush(): void {
    for (const e of this.#queue.splice(0)) {
      for (const s of this.#streams) s.put(e);
      for (const listener of this.#listeners.get(e.type) ?? []) {
        try {
          listener(e);
        } catch (error) {
          // Another's fault must not be ours.
          (globalThis.reportError ?? console.error)(error);
        }
      }
    }
  }

  /** Ends the streams once they have given what waits. */
  end(): void {
    queueMicrotask(() => {
      this.#flush();
      this.#ended = true;
      for (const s of this.#streams) s.end();
      this.#streams.clear();
    });
  }
}

/** Events for one consumer, which takes them at its own pace. Those of one thing merge,
 * so what waits is bounded by what there is to tell of. */
class Stream implements AsyncIterableIterator<AnyEvent> {
  readonly #waiting = new Map<string, AnyEvent>();
  readonly #takers: ((r: IteratorResult<AnyEvent>) => void)[] = [];
  #ended = false;

  readonly #stop: () => void;

  constructor(stop: () => void) {
    this.#stop = stop;
  }

  put(e: AnyEvent): void {
    const taker = this.#takers.shift();
    if (taker) {
      taker({ value: e, done: false });
      return;
    }
    if (e.type === "gone") for (const type of ["conversation", "messages", "restored", e.type]) this.#waiting.delete(`${type} ${e.id} `);
    const key = keyOf(e);
    const was = this.#waiting.get(key);
    if (e.type === "restored") this.#restored(e, was);
    else this.#waiting.set(key, was?.type === "messages" && e.type === "messages" ? merged(was, e) : e);
  }

  /** Where messages wait, those before the restore become a hole behind it. */
  #restored(e: Events["restored"], was: AnyEvent | undefined): void {
    const key = `messages ${e.id} `;
    const messages = this.#waiting.get(key);
    this.#waiting.delete(key);
    this.#waiting.set(keyOf(e), was?.type === "restored" && was.from < e.from ? was : e);
    const from = messages?.type === "messages" ? startOf(messages) : e.from;
    if (from < e.from) this.#waiting.set(key, { type: "messages", id: e.id, items: [], hole: { from, to: e.from - 1 } });
  }

  end(): void {
    this.#ended = true;
    for (const taker of this.#takers.splice(0)) taker({ value: undefined, done: true });
  }

  next(): Promise<IteratorResult<AnyEvent>> {
    const first = this.#waiting.entries().next();
    if (!first.done) {
      this.#waiting.delete(first.value[0]);
      return Promise.resolve({ value: first.value[1], done: false });
    }
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  return(): Promise<IteratorResult<AnyEvent>> {
    this.#stop();
    this.#waiting.clear();
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** What an event is about: a newer one of the same takes its place. */
function keyOf(e: AnyEvent): string {
  const id = "draft" in e ? e.draft.id : "id" in e ? e.id : "";
  const user = "presence" in e ? e.presence.user : "profile" in e ? e.profile.user : "user" in e ? e.user : "";
  return `${e.type} ${id} ${user}`;
}

/** The first sequence that an event tells of. */
function startOf(e: Events["messages"]): number {
  return e.hole?.from ?? firstOf(e.items[0]!);
}

function merged(a: Events["messages"], b: Events["messages"]): Events["messages"] {
  // What does not follow leaves the later one alone.
  const end = a.items.length > 0 ? lastOf(a.items.at(-1)!) : a.hole!.to;
  if (startOf(b) !== end + 1) return b;
  let items = b.hole ? b.items : [...a.items, ...b.items];
  let hole = b.hole ? { from: startOf(a), to: b.hole.to } : a.hole;
  if (items.length > mergedMax) {
    items = items.slice(-mergedMax);
    hole = { from: startOf(a), to: firstOf(items[0]!) - 1 };
  }
  return { type: "messages", id: b.id, items, ...(hole && { hole }) };
}

function firstOf(i: Item): number {
  return i.type === "message" ? i.seq : i.from;
}

function lastOf(i: Item): number {
  return i.type === "message" ? i.seq : i.to;
}
