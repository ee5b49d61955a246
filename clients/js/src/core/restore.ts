import * as ranges from "../ranges.js";
import type { MessageRecord, Span } from "../store.js";
import { sameBytes } from "../wire/bytes.js";
import * as wire from "../wire/schema.js";
import { blankRecord, Conv, messageOf } from "./conversation.js";
import type { Core } from "./core.js";
import { pageMax } from "./pull.js";
import type { Session } from "./session.js";

// A server that was restored from an older copy has lost the newest messages, and may
// have given their sequences to others since. Its log up to the copy is the one that
// this device knows, so for each conversation there is one sequence up to which all is
// as it was, and nothing above it is.
//
// What the device held above the present last sequence is gone. What it held below is
// in doubt: it is shown to nobody until it was compared with the server's, from the
// newest page down to the first message that is the same. Lanes look for their drafts,
// which may be in the copy, and go on in a new stream.
export class Restorer {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Begins the life with a new incarnation. Everything is in the store. */
  begin(s: Session): void {
    const { meta, outbox } = this.#core;
    meta.incarnation = s.welcome.incarnation;
    meta.restoring = true;
    meta.cursor = new Uint8Array();
    outbox.useStream(s.welcome.stream);
    outbox.restored();
  }

  /** Takes a conversation into the new incarnation, of which w is the first state. */
  reset(v: Conv, w: wire.State): void {
    let old: Span[] = v.r.held;
    for (const [from, to] of v.r.doubt) old = ranges.add(old, from, to); // of yet another restore
    const last = w.left ? ranges.top(old) : w.last; // unknown; the comparison will tell
    if (ranges.top(old) > last) this.lose(v, old, last + 1);
    const { id, kind, title, tail, members, preview } = v.r;
    const next = blankRecord(id, this.#core.meta.incarnation);
    Object.assign(next, {
      kind, title, changed: w.changed, tail: Math.min(tail, last), doubt: ranges.within(old, 1, last),
      members: members.map((m) => ({ ...m, delivered: 0, read: 0 })),
      preview: preview !== undefined && preview.seq <= last ? preview : undefined,
    });
    v.reset(next);
  }

  /** Takes away what was held from a sequence on. Own messages that this device had
   * sent become failed drafts. */
  lose(v: Conv, held: readonly Span[], from: number): void {
    const to = ranges.top(held);
    const lost = ranges.size(ranges.within(held, from, to));
    if (lost === 0) return;
    this.#core.dropped(lost);
    const { id } = v.r;
    const p = this.#core.change();
    p.lost.push({ conversation: id, from, to });
    p.cut(id, from, to);
    if (v.r.preview && v.r.preview.seq >= from) v.r.preview = undefined;
    this.#core.note({ type: "restored", id, from });
  }

  /** Holds what is in doubt, up to a sequence, against the server's newest page of it. */
  async compare(v: Conv, page: wire.Page, top: number, here: () => boolean): Promise<void> {
    const empty = page.to < page.from;
    const from = empty ? 1 : Math.max(page.from, 1);
    await this.#core.committed();
    const ours = await this.#core.store.messages(v.r.id, from, top, pageMax);
    if (!here() || ranges.top(v.r.doubt) !== top) return;
    const theirs = new Map(page.items.flatMap(({ message }) => (message ? [[message.seq, messageOf(v.r.id, message)] as const] : [])));
    const same = empty ? 0 : Math.max(0, ...ours.filter((m) => isSame(m, theirs.get(m.seq))).map((m) => m.seq));
    const { doubt } = v.r;
    let first = from; // of what is not the server's
    if (same > 0) {
      first = same + 1;
      for (const [a, b] of ranges.within(doubt, 1, same)) v.hold(a, b);
      v.r.doubt = [];
    } else {
      v.r.doubt = ranges.within(doubt, 1, from - 1);
    }
    this.lose(v, doubt, first);
    if (first <= v.r.tail) {
      v.r.tail = first - 1;
      v.told = Math.min(v.told, v.r.tail);
      v.tellable = Math.min(v.tellable, v.r.tail);
    }
    this.#core.inbox.takePage(v, page);
  }

  /** Drops what can not be compared. */
  forgetDoubt(v: Conv): void {
    if (v.r.doubt.length === 0) return;
    this.lose(v, v.r.doubt, 1);
    v.r.doubt = [];
    this.#core.put(v);
  }
}

/** Whether two messages are one. */
function isSame(a: MessageRecord, b: MessageRecord | undefined): boolean {
  return b !== undefined && a.seq === b.seq && a.from === b.from && a.stream === b.stream && a.number === b.number &&
    a.kind === b.kind && a.at === b.at && (a.text ?? "") === (b.text ?? "") && sameBytes(a.data, b.data);
}
