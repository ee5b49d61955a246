import * as ranges from "../ranges.js";
import * as wire from "../wire/schema.js";
import { isRetry } from "../views.js";
import { toHex } from "../wire/bytes.js";
import { backoff, now } from "./clock.js";
import type { Conv } from "./conversation.js";
import type { Core } from "./core.js";
import type { Session } from "./session.js";

/** How many conversations a page of a sync lists. */
const syncLimit = 200;
/** Of how many conversations the last message is read unasked. */
const previewsMax = 50;
const nothing = new Uint8Array();

/** Asks what has changed. */
export class Syncer {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** A sync that is asked for while one runs begins when that one ends: what made it
   * necessary may lie behind a page that was read already. */
  start(s: Session): void {
    if (s.syncing) {
      s.syncAgain = true;
      return;
    }
    s.syncing = true;
    s.syncAgain = s.unavailable = s.synced = false;
    s.seen = new Set();
    this.#core.connectionIs({ status: "syncing" });
    this.#ask(s, this.#core.meta.restoring ? nothing : this.#core.meta.cursor);
  }

  #ask(s: Session, cursor: Uint8Array): void {
    s.ask({ sync: { cursor, limit: syncLimit } }, (m) => {
      if (m?.syncPage !== undefined) this.#page(s, m.syncPage);
      else if (m) this.#failed(s, m.error);
    });
  }

  /** Tries again later. The cursor of a broken store is given up. */
  #failed(s: Session, e: wire.Error | undefined): void {
    s.syncing = false;
    const pause = Math.max(backoff(s.syncFails++), e?.retryAfterMs ?? 0);
    if (e !== undefined && !isRetry(e.code) && this.#core.meta.cursor.length > 0) {
      this.#core.meta.cursor = nothing;
      this.#core.putMeta();
    }
    s.syncAgain = true;
    this.#core.attend(now() + pause);
  }

  /** Takes a page over. The cursor is kept only at the end of a sync: a sync that was
   * cut short begins anew, so that what an authoritative one does not list is surely gone. */
  #page(s: Session, page: wire.SyncPage): void {
    if (page.incarnation !== this.#core.meta.incarnation) {
      s.renew(); // the store was restored
      return;
    }
    for (const w of page.states) this.#state(s, toHex(w.conversation), w);
    s.unavailable ||= page.unavailable;
    if (page.more) this.#ask(s, page.cursor);
    else this.#end(s, page);
  }

  /** Takes over a state of a sync. It may have been read before a push that came
   * already; only "left", which may have no version, can be out of date unnoticed. */
  #state(s: Session, id: string, w: wire.State): void {
    if (w.left && w.version === 0 && s.seen?.has(id)) return;
    s.seen?.add(id);
    const before = this.#core.conversations.get(id)?.r.version ?? 0;
    const v = this.#core.inbox.takeState(id, w);
    if (v?.r.kind === wire.CONVERSATION_GROUP && v.r.membersKnown && v.r.version !== before) {
      // Marks of members may have been missed: a state does not hold them.
      v.membersStale = true;
      this.#core.pulls.want(v);
    }
  }

  #end(s: Session, page: wire.SyncPage): void {
    const core = this.#core;
    s.syncing = false;
    s.syncFails = 0;
    if (page.authoritative && !s.unavailable) {
      for (const [id, v] of core.conversations) if (!s.seen?.has(id)) this.gone(v);
    }
    s.seen = undefined;
    core.meta.cursor = page.cursor;
    core.meta.restoring &&= s.unavailable;
    core.putMeta();
    if (core.meta.restoring) {
      s.syncAgain = true;
      core.attend(now() + backoff(1));
      return;
    }
    if (s.syncAgain) {
      this.start(s);
      return;
    }
    s.synced = true;
    // Told once what the sync brought is durable.
    core.committed().then(() => {
      if (core.session === s && s.synced && s.open) core.connectionIs({ status: "online" });
    }, () => {});
    for (const v of core.conversations.values()) {
      if (!v.stated) core.inbox.askState(v);
      core.marks.due(v);
      core.pulls.want(v);
    }
    core.pulls.previews(newest(core.conversations, previewsMax));
    core.outbox.pump();
    core.live.sendWatch(s);
  }

  /** Forgets a conversation. Drafts for it stay: the server says what becomes of them. */
  gone(v: Conv): void {
    if (v.r.incarnation !== this.#core.meta.incarnation) this.#core.restorer.lose(v, v.r.held, 1);
    else this.#core.dropped(ranges.size(v.r.held));
    this.#core.conversations.delete(v.r.id);
    this.#core.change().gone(v);
  }
}

/** The conversations that changed last. */
function newest(all: ReadonlyMap<string, Conv>, n: number): string[] {
  return [...all.values()].sort((a, b) => b.r.changed - a.r.changed).slice(0, n).map((v) => v.r.id);
}
