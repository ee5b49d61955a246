import * as ranges from "../ranges.js";
import { isRetry } from "../views.js";
import { fromHex } from "../wire/bytes.js";
import type { Init } from "../wire/codec.js";
import * as wire from "../wire/schema.js";
import { backoff, now } from "./clock.js";
import type { Conv } from "./conversation.js";
import type { Core } from "./core.js";
import type { Session } from "./session.js";

/** Acknowledgements are at least so far apart. */
const marksWait = 1_000;
/** How many marks an acknowledgement has at most. */
const marksMax = 256;
/** How many messages are looked at to count what is behind a mark. */
const countMax = 1_000;

/** Tells the server what has arrived here, and what the user has seen. */
export class Marks {
  /** With marks that the server does not know. */
  readonly #unmarked = new Set<Conv>();
  #sentAt = -Infinity;

  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  get waiting(): boolean {
    return this.#unmarked.size > 0;
  }

  /** Says that the user has seen everything up to a sequence. */
  async read(v: Conv, seq: number): Promise<void> {
    const { r } = v;
    seq = Math.min(Math.floor(seq), r.last);
    if (!(seq > r.read)) return;
    r.read = seq;
    r.markedUnread = false;
    const behind = ranges.within(r.held, seq + 1, r.counted);
    this.#core.put(v);
    await this.#core.committed();
    await this.#count(v, seq, behind);
  }

  /** Follows with the counts: what counts up to the mark is what counts in all, less
   * what the messages behind it add. Where the device does not hold all of those, the
   * server's answer brings the counts. */
  async #count(v: Conv, seq: number, behind: readonly (readonly [number, number])[]): Promise<void> {
    const { r } = v;
    const held = ranges.size(behind);
    let [counting, own] = [0, 0];
    if (held <= countMax) {
      for (const [from, to] of behind) {
        for (const m of await this.#core.store.messages(r.id, from, to, countMax)) {
          const t = this.#core.inbox.tallyOf(m, 0);
          if (t.counts) counting++;
          if (t.counts && t.own) own++;
        }
      }
    }
    if (v.r.read === seq && v.r.counted === seq + held && v.r.ordinal >= counting && held <= countMax) {
      v.r.readOrdinal = v.r.ordinal - counting;
      v.r.ownAtRead = v.r.own - own;
      this.#core.put(v);
    } else {
      this.#core.inbox.askState(v);
    }
    this.due(v);
  }

  /** Has the marks of a conversation sent: at once, or together with others when some
   * were sent just now. */
  due(v: Conv): void {
    if (markOf(v) === undefined) return;
    this.#unmarked.add(v);
    if (this.#core.session) this.#core.attend(Math.max(now(), this.#sentAt + marksWait));
  }

  /** Tells the server what it does not know. One request is on its way at a time: what
   * comes up meanwhile rides with the next. */
  send(s: Session): void {
    if (s.acknowledging > 0 || this.#core.meta.restoring || this.#unmarked.size === 0) return;
    if (now() < this.#sentAt + marksWait) {
      this.#core.attend(this.#sentAt + marksWait);
      return;
    }
    const marks: Init<wire.Mark>[] = [];
    const of: Conv[] = [];
    for (const v of this.#unmarked) {
      if (marks.length === marksMax) break;
      this.#unmarked.delete(v);
      const m = markOf(v);
      if (!m || this.#core.conversations.get(v.r.id) !== v) continue;
      v.sentDelivered = m.delivered;
      v.sentRead = m.read;
      marks.push({ conversation: fromHex(v.r.id), ...m });
      of.push(v);
    }
    if (marks.length === 0) return;
    this.#sentAt = now();
    s.acknowledging++;
    s.ask({ acknowledge: { marks } }, (m) => {
      if (!m) return;
      s.acknowledging--;
      if (m.error) this.#refused(of, m.error);
      else this.#confirmed(of);
    });
  }

  /** Takes note of what the server knows now. */
  #confirmed(of: readonly Conv[]): void {
    for (const v of of) {
      if (this.#core.conversations.get(v.r.id) !== v) continue;
      const { r } = v;
      r.confirmedDelivered = Math.max(r.confirmedDelivered, v.sentDelivered);
      r.confirmedRead = Math.max(r.confirmedRead, v.sentRead);
      r.delivered = Math.max(r.delivered, r.confirmedDelivered);
      this.#core.put(v);
      this.due(v);
    }
  }

  /** Tries again later what may be taken then. Of several marks the server took those
   * that it could; what it refuses for good, the next session tries once more. */
  #refused(of: readonly Conv[], e: wire.Error): void {
    if (!isRetry(e.code)) return;
    for (const v of of) {
      v.sentDelivered = v.sentRead = 0;
      this.#unmarked.add(v);
    }
    this.#sentAt = now() + Math.max(backoff(2), e.retryAfterMs) - marksWait;
    this.#core.attend(this.#sentAt + marksWait);
  }
}

/** What the server is to be told; undefined if it knows. Delivered is the end of what
 * is durable here without a gap. One's own messages alone are no reason to tell:
 * nobody waits for their tick. */
function markOf(v: Conv): { delivered: number; read: number } | undefined {
  const { r } = v;
  if (!v.stated || r.left || r.doubt.length > 0) return undefined;
  const delivered = Math.max(r.confirmedDelivered, v.sentDelivered);
  const read = Math.max(r.confirmedRead, v.sentRead);
  const arrived = v.durable > delivered && v.foreign > delivered;
  if (!arrived && r.read <= read) return undefined;
  return { delivered: Math.max(v.durable, delivered), read: r.read };
}
