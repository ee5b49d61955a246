import type { AnyEvent, Presence, Profile } from "../api.js";
import { isRetry, presenceView, profileView } from "../views.js";
import { fromHex, toHex } from "../wire/bytes.js";
import type * as wire from "../wire/schema.js";
import { backoff, now } from "./clock.js";
import type { Core } from "./core.js";
import type { Session } from "./session.js";

/** How many conversations may be watched. */
const watchMax = 8;
/** While the user writes, it is said so often; and believed so long. */
const typingEvery = 4_000;
const typingLasts = 6_000;
/** How many profiles are kept, and for how long. */
const profilesMax = 2_000;
const profileLasts = 5 * 60_000;
/** How many typing users are followed at once. */
const typistsMax = 1_000;

/** What is of this moment, and kept nowhere: presence, typing, profiles. */
export class Live {
  /** What each tab watches, the latest last. */
  readonly #watching = new Map<string, readonly string[]>();
  #watched = "";
  readonly #typists = new Map<string, { readonly timer: ReturnType<typeof setTimeout>; readonly stop: () => void }>();
  /** When it was last said that the user writes, by conversation. */
  readonly #writing = new Map<string, number>();
  readonly #profiles = new Map<string, { readonly profile: Profile; readonly at: number }>();

  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  close(): void {
    for (const t of this.#typists.values()) clearTimeout(t.timer);
    this.#typists.clear();
  }

  #emit(...events: AnyEvent[]): void {
    if (events.length > 0) this.#core.emit({ events });
  }

  // Watching

  attached(): void {
    this.#watched = "";
    this.#writing.clear();
  }

  /** Replaces what a tab watches. */
  watch(tab: string, ids: readonly string[]): void {
    this.#watching.delete(tab);
    if (ids.length > 0) this.#watching.set(tab, ids.slice(0, watchMax));
    if (this.#core.session) this.sendWatch(this.#core.session);
  }

  /** Names what is watched, where that is not what the server knows. It refuses all for
   * one that the user does not belong to, so in a new session it waits for the sync. */
  sendWatch(s: Session): void {
    const mine = (id: string) => !this.#core.conversations.get(id)?.r.left;
    const ids = [...new Set([...this.#watching.values()].reverse().flat())].filter(mine).slice(0, watchMax);
    const key = ids.join();
    if (key === this.#watched || !s.open) return;
    this.#watched = key;
    s.ask({ watch: { conversations: ids.map(fromHex) } }, (m) => {
      if (m?.presences !== undefined) this.presences(m.presences);
      if (!m?.error || !isRetry(m.error.code) || this.#watched !== key) return;
      setTimeout(() => this.watchAgain(s), Math.max(backoff(1), m.error.retryAfterMs));
    });
  }

  /** Names anew what is watched; what the server knows of it is over. */
  watchAgain(s: Session): void {
    if (this.#core.session !== s) return;
    this.#watched = "";
    if (s.synced) this.sendWatch(s);
  }

  presences(w: wire.Presences): Presence[] {
    const all = w.presences.map(presenceView);
    this.#emit(...all.map((presence) => ({ type: "presence", presence }) as const));
    return all;
  }

  // Typing

  typed(w: wire.Typing): void {
    const id = toHex(w.conversation);
    if (w.user === this.#core.meta.user) return;
    const key = id + w.user;
    const was = this.#typists.get(key);
    if (!w.active) {
      was?.stop();
      return;
    }
    if (!was && this.#typists.size >= typistsMax) return;
    clearTimeout(was?.timer);
    const stop = () => {
      clearTimeout(this.#typists.get(key)?.timer);
      this.#typists.delete(key);
      this.#emit({ type: "typing", id, user: w.user, active: false });
    };
    this.#typists.set(key, { timer: setTimeout(stop, typingLasts), stop });
    if (!was) this.#emit({ type: "typing", id, user: w.user, active: true });
  }

  /** A message came: its sender does not write any more. */
  wrote(id: string, user: string): void {
    this.#typists.get(id + user)?.stop();
  }

  /** Says that the user writes, but not at each key; or that he has stopped. */
  typing(id: string, active: boolean): void {
    const s = this.#core.session;
    const last = this.#writing.get(id);
    if (!s || (active ? last !== undefined && now() < last + typingEvery : last === undefined)) return;
    if (active) this.#writing.set(id, now());
    else this.#writing.delete(id);
    s.tell({ typing: { conversation: fromHex(id), active } });
  }

  /** The user has sent what he wrote, which says by itself that he has stopped. */
  sent(id: string): void {
    this.#writing.delete(id);
  }

  // Profiles

  /** The profile of a user, if it is known and not old. */
  profile(user: string): Profile | undefined {
    const p = this.#profiles.get(user);
    return p && now() < p.at + profileLasts ? p.profile : undefined;
  }

  /** Takes over profiles, and shows them wherever their users are members. */
  profiled(w: wire.Profiles): Profile[] {
    const all = w.profiles.map((p) => profileView(p, p.user === this.#core.meta.user));
    for (const profile of all) {
      this.#profiles.delete(profile.user);
      this.#profiles.set(profile.user, { profile, at: now() });
      if (this.#profiles.size > profilesMax) this.#profiles.delete(this.#profiles.keys().next().value!);
      for (const v of this.#core.conversations.values()) {
        const m = v.member(profile.user);
        if (!m || m.name === profile.name && m.picture === profile.picture) continue;
        v.raise({ ...m, name: profile.name, picture: profile.picture });
        this.#core.put(v);
      }
    }
    this.#emit(...all.map((profile) => ({ type: "profile", profile }) as const));
    return all;
  }
}
