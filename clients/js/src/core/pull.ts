import * as ranges from "../ranges.js";
import { isRetry } from "../views.js";
import { fromHex } from "../wire/bytes.js";
import type { Init } from "../wire/codec.js";
import * as wire from "../wire/schema.js";
import { backoff, now } from "./clock.js";
import type { Conv } from "./conversation.js";
import type { Core } from "./core.js";
import type { Session } from "./session.js";

/** How many messages the server gives in one page. */
export const pageMax = 200;
/** How many conversations are read at once. */
const pullsMax = 4;

/** Reads what conversations lack. */
export class Puller {
  #queue: Conv[] = [];

  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  clear(): void {
    this.#queue = [];
  }

  /** Has the last messages of conversations read. */
  previews(ids: readonly string[]): void {
    for (const id of ids) {
      const v = this.#core.conversations.get(id);
      if (!v || v.r.left || v.r.last === 0 || v.holds(v.r.last)) continue;
      v.previewDue = true;
      this.want(v);
    }
  }

  /** Has a conversation read if something of it is missing: each has at most one
   * request on its way or waiting. */
  want(v: Conv): void {
    const s = this.#core.session;
    if (!s || v.pulling || !v.stated || this.#core.conversations.get(v.r.id) !== v || !lacks(v)) return;
    v.pulling = true;
    this.#queue.push(v);
    this.more(s);
  }

  /** Begins reading while there is room. */
  more(s: Session): void {
    for (let n = this.#queue.length; n > 0 && s.pulling < pullsMax && s.open; n--) {
      const v = this.#queue.shift()!;
      if (now() < v.pullAt) {
        this.#queue.push(v);
        this.#core.attend(v.pullAt);
        continue;
      }
      s.pulling++;
      this.#pull(s, v);
    }
  }

  /** Reads one part of what a conversation lacks. */
  #pull(s: Session, v: Conv): void {
    const { r } = v;
    const { id, last } = r;
    const doubt = ranges.top(r.doubt);
    const missing = ranges.missing(r.held, r.tail + 1, r.left ? r.tail : last);
    const conversation = fromHex(id);
    const jump = doubt === 0 && ranges.size(missing) > this.#core.o.catchUpMax;
    let q: Init<wire.Request>;
    if (doubt > 0) q = { history: { conversation, to: doubt, backward: true, limit: pageMax } };
    else if (jump) q = { history: { conversation, to: last, backward: true, limit: pageMax } };
    else if (missing[0] !== undefined) q = { history: { conversation, from: missing[0][0], to: missing[0][1], limit: pageMax } };
    else if (v.membersStale && !r.left) q = { members: { conversation } };
    else q = { history: { conversation, to: last, backward: true, limit: 1 } };
    if (q.history?.limit === 1) v.previewDue = false;
    s.ask(q, (m) => void this.#answered(s, v, m, doubt, jump, last));
  }

  async #answered(s: Session, v: Conv, m: wire.ServerMessage | undefined, doubt: number, jump: boolean, last: number): Promise<void> {
    const { incarnation } = this.#core.meta;
    const here = () => this.#core.session === s && this.#core.conversations.get(v.r.id) === v && this.#core.meta.incarnation === incarnation;
    let again = false;
    if (m && here()) {
      try {
        again = await this.#pulled(v, m, doubt, jump, here);
      } catch (e) {
        this.#core.storeBroke(e);
        return;
      }
    }
    if (this.#core.session !== s) return; // detaching has settled the rest
    s.pulling--;
    v.pulling = false; // only now: what came is not reason enough to ask again
    if (again || v.r.last > last || v.previewDue || v.membersStale) this.want(v);
    this.more(s);
  }

  /** Takes the answer, and returns whether to go on. */
  async #pulled(v: Conv, m: wire.ServerMessage, doubt: number, jump: boolean, here: () => boolean): Promise<boolean> {
    const { inbox, restorer } = this.#core;
    if (m.members) {
      inbox.takeMembers(v, m.members);
    } else if (m.page && doubt > 0) {
      await restorer.compare(v, m.page, doubt, here);
    } else if (m.page) {
      const before = v.r.tail;
      inbox.takePage(v, m.page);
      const run = ranges.run(v.r.held, v.r.last);
      if (jump && run && run[0] > v.r.tail) {
        v.r.tail = run[1]; // and a hole stays behind
        this.#core.put(v);
      }
      // A page that brings nothing is not asked for again until something comes.
      return v.r.tail > before;
    } else if (m.error) {
      if (!isRetry(m.error.code)) {
        restorer.forgetDoubt(v);
        v.membersStale = false;
        return false;
      }
      v.pullAt = now() + Math.max(backoff(1), m.error.retryAfterMs);
    }
    return true;
  }
}

/** Whether a conversation has something to read. */
function lacks(v: Conv): boolean {
  const { r } = v;
  return r.doubt.length > 0 || !r.left && (v.membersStale || r.tail < r.last || v.previewDue && !v.holds(r.last));
}
