import * as wire from "../wire/schema.js";
import type { MessageRecord } from "../store.js";
import { isRetry } from "../views.js";
import { fromHex, toHex } from "../wire/bytes.js";
import { backoff, now } from "./clock.js";
import { memberOf, messageOf, type Conv, type Tally } from "./conversation.js";
import type { Core } from "./core.js";
import type { Session } from "./session.js";

/** Takes over what the server pushes and answers about conversations. */
export class Inbox {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Whether a conversation was heard of from the store before a restore: what comes
   * for it has to wait until the sync has said how it stands now. */
  outdated(s: Session, id: string): boolean {
    const v = this.#core.conversations.get(id);
    if (!v || v.r.incarnation === this.#core.meta.incarnation) return false;
    s.syncAgain = true;
    return true;
  }

  message(s: Session, w: wire.Message): void {
    const id = toHex(w.conversation);
    if (w.seq === 0 || this.outdated(s, id)) return;
    s.seen?.add(id); // a sync that was answered before does not know of it
    const v = this.#core.known(id);
    this.take(v, messageOf(id, w), w.ordinal);
    this.grown(v);
  }

  marks(s: Session, w: wire.MarksChanged): void {
    const id = toHex(w.conversation);
    const v = this.#core.conversations.get(id);
    if (!v || this.outdated(s, id) || w.user === this.#core.meta.user) return;
    const known = v.member(w.user);
    v.raise({
      user: w.user, name: known?.name ?? "", picture: known?.picture ?? "", role: known?.role || wire.ROLE_MEMBER,
      delivered: w.delivered, read: w.read,
    });
    v.tick();
    this.#core.put(v);
  }

  state(s: Session, w: wire.State): void {
    const id = toHex(w.conversation);
    if (this.outdated(s, id)) return;
    s.seen?.add(id);
    this.takeState(id, w);
  }

  /** Takes over a state, of whatever way it came. */
  takeState(id: string, w: wire.State): Conv | undefined {
    if (w.left && !this.#core.conversations.has(id)) return undefined; // it was never here
    const v = this.#core.known(id);
    if (v.r.incarnation !== this.#core.meta.incarnation) {
      this.#core.restorer.reset(v, w);
    } else if (!v.stated && !w.left) {
      // What another device of the user has is not new to him, but what came here is told.
      const first = v.r.held[0]?.[0] ?? Infinity;
      v.r.tail = v.told = v.tellable = Math.min(Math.max(w.delivered, w.read), w.last, first - 1);
    }
    const { left } = v.r;
    v.adopt(w);
    // The server's watch ends with the membership.
    if (left && !v.r.left && this.#core.session) this.#core.live.watchAgain(this.#core.session);
    this.grown(v);
    return v;
  }

  /** Adds a message to what a conversation holds. `ordinal` is 0 where it is unknown. */
  take(v: Conv, m: MessageRecord, ordinal: number): void {
    if (m.seq === 0) return;
    this.#core.outbox.own(m);
    if (v.holds(m.seq)) return;
    v.hold(m.seq, m.seq);
    v.count(m.seq, this.tallyOf(m, ordinal));
    v.remember(m);
    if (m.from !== this.#core.meta.user) v.foreign = Math.max(v.foreign, m.seq);
    v.r.changed = Math.max(v.r.changed, m.at);
    if (v.r.kind === wire.CONVERSATION_GROUP && (m.event || m.from === this.#core.meta.user && !v.r.membersKnown)) v.membersStale = true;
    this.#core.keepMessage(v, m);
  }

  /** Follows up what a conversation holds or has heard of. */
  grown(v: Conv): void {
    if (!v.stated || !v.fold()) this.askState(v);
    if (v.stated) v.advance();
    v.tick();
    this.#core.put(v);
    this.#core.pulls.want(v);
  }

  tallyOf(m: MessageRecord, ordinal: number): Tally {
    return { ordinal, counts: m.kind !== wire.KIND_SYSTEM, own: m.from === this.#core.meta.user && m.from !== "" };
  }

  /** Adds a page to what a conversation holds, whoever asked for it. */
  takePage(v: Conv, page: wire.Page): void {
    for (const { message, withheld } of page.items) {
      if (message !== undefined && message.seq >= page.from && message.seq <= page.to) {
        this.take(v, messageOf(v.r.id, message), message.ordinal);
      } else if (withheld !== undefined) {
        v.hold(Math.max(withheld.from, 1), Math.min(withheld.to, page.to));
      }
    }
    v.r.last = Math.max(v.r.last, page.last);
    this.grown(v);
  }

  /** Takes over who belongs to a conversation. */
  takeMembers(v: Conv, w: wire.Members): void {
    v.membersStale = false;
    v.r.membersKnown = true;
    v.memberViews = undefined;
    for (const m of v.r.members) m.role = wire.ROLE_NONE;
    for (const m of w.members) if (m.user !== this.#core.meta.user) v.raise(memberOf(m));
    v.tick();
    this.#core.put(v);
  }

  /** Asks for the state of one conversation. */
  askState(v: Conv): void {
    const s = this.#core.session;
    if (!s || v.stateDue) return;
    v.stateDue = true;
    const { id } = v.r;
    s.ask({ state: { conversation: fromHex(id) } }, (m) => {
      v.stateDue = false;
      if (!m || this.#core.conversations.get(id) !== v || this.outdated(s, id)) return;
      if (m.state) {
        this.takeState(id, m.state);
      } else if (v.stated) {
        // What it shows may be old; the next push or sync tells.
      } else if (m.error && isRetry(m.error.code)) {
        s.syncAgain = true; // its end asks again
        this.#core.attend(now() + backoff(1));
      } else {
        this.#core.sync.gone(v); // it is not the user's any more
      }
    });
  }
}
