import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import type { Client, Conversation, ConversationId, Presence, Profile, UserId } from "@parleychat/client";
import { kept } from "./kept.ts";

/** Person is what a user is shown as. */
export interface Person {
  readonly user: UserId;
  readonly name: string;
  readonly picture: string;
}

/** News is something that the user should know until he puts it away. */
export interface News {
  readonly id: string;
  readonly tone: "danger" | "calm";
  readonly text: string;
}

/** Begun is what the user writes in a conversation, and what has left the field and is
 * not safe yet. */
interface Begun {
  text: string;
  readonly leaving: string[];
}

/**
 * Live is the client as components see it: what to show now, and who must draw
 * again when that changes. Topics are "connection", "list", "people", "presence",
 * "news", "minute", and for each conversation its id. What happens between two frames is
 * drawn once.
 */
export class Live {
  readonly news: News[] = [];
  private readonly people = new Map<UserId, Person>();
  private readonly presences = new Map<UserId, Presence>();
  private readonly writing = new Map<ConversationId, Begun>();
  private readonly typists = new Map<ConversationId, Set<UserId>>();
  private readonly listeners = new Map<string, Set<() => void>>();
  private readonly stale = new Set<string>();
  private readonly wanted = new Set<UserId>();
  private readonly ends: (() => void)[] = [];
  private readonly named = new WeakSet<Conversation>();
  private listed: { of: readonly Conversation[]; list: readonly Conversation[] } | null = null;

  constructor(readonly client: Client) {
    const { on } = { on: client.on.bind(client) };
    this.ends.push(
      on("connection", () => this.changed("connection")),
      on("stopped", () => this.changed("connection")),
      on("conversation", (e) => this.changed("list", e.id)),
      on("gone", (e) => this.changed("list", e.id)),
      on("draft", (e) => { this.listed = null; this.changed("list", "outbox", e.id); }),
      on("messages", (e) => { for (const i of e.items) if (i.type === "message") this.stopped(e.id, i.from); }),
      on("presence", (e) => { this.presences.set(e.presence.user, e.presence); this.changed("presence"); }),
      on("profile", (e) => this.learn(e.profile)),
      on("typing", (e) => this.typed(e.id, e.user, e.active)),
      on("restored", () => this.tell({ id: "restored", tone: "calm", text: "The server was restored from a backup. Messages that it no longer has are gone; those that you had sent are marked as not sent." })),
      on("trouble", (e) => this.tell(troubles[e.error.code] ?? { id: e.error.code, tone: "danger", text: `Something went wrong: ${e.error.message}` })),
    );
    const minute = setInterval(() => this.changed("list", "presence", "minute"), 60_000); // "today" and "3 min ago" get old
    this.ends.push(() => clearInterval(minute));
  }

  close(): void {
    for (const end of this.ends) end();
    this.listeners.clear();
  }

  subscribe(topic: string, draw: () => void): () => void {
    let set = this.listeners.get(topic);
    if (!set) this.listeners.set(topic, (set = new Set()));
    set.add(draw);
    return () => { set.delete(draw); };
  }

  /** changed has the components of these topics draw again, soon and once. */
  changed(...topics: string[]): void {
    const first = this.stale.size === 0;
    for (const t of topics) this.stale.add(t);
    if (!first) return;
    if (document.hidden) setTimeout(() => this.draw(), 50);
    else requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    const topics = [...this.stale];
    this.stale.clear();
    const draws = new Set(topics.flatMap((t) => [...(this.listeners.get(t) ?? [])]));
    for (const d of draws) d();
  }

  /** list is the conversations to which the user belongs, or where something is left
   * that was not sent; the one with the newest message first: that somebody read, or
   * that one was muted, moves none. Of one whose last message is not held the newest
   * change stands for it. */
  list(): readonly Conversation[] {
    const all = this.client.conversations();
    if (this.listed?.of !== all) {
      const at = (c: Conversation) => (c.preview?.at ?? c.changed).getTime();
      this.listed = { of: all, list: all.filter((c) => !c.left || this.client.drafts(c.id).length > 0).sort((a, b) => at(b) - at(a)) };
    }
    return this.listed.list;
  }

  /** person is whom a user is shown as; his profile is asked for if it is not known. */
  person(user: UserId): Person {
    const known = this.people.get(user);
    if (known) return known;
    if (user && !this.wanted.has(user)) {
      this.wanted.add(user);
      if (this.wanted.size === 1) setTimeout(() => this.ask(), 20);
    }
    return { user, name: user || "Somebody", picture: "" };
  }

  private async ask(): Promise<void> {
    const users = [...this.wanted].slice(0, 200);
    try {
      for (const p of await this.client.profiles(users)) this.learn(p);
    } catch { /* asked again when it is shown again after the connection is back */ }
    for (const u of users) this.wanted.delete(u);
    if (this.wanted.size > 0) setTimeout(() => this.ask(), 20);
  }

  private learn(p: Pick<Profile, "user" | "name" | "picture">): void {
    const before = this.people.get(p.user);
    if (before && before.picture === p.picture && before.name === (p.name || p.user)) return;
    this.people.set(p.user, { user: p.user, name: p.name || p.user, picture: p.picture });
    this.changed("people");
  }

  name(user: UserId): string {
    return user === this.client.user ? "You" : this.person(user).name;
  }

  /** face is what a conversation is shown as: its title, or the other one. */
  face(c: Conversation): { id: string; name: string; picture: string; group: boolean } {
    if (c.members && !this.named.has(c)) {
      this.named.add(c);
      for (const m of c.members) this.learn(m);
    }
    if (c.kind === "group") return { id: c.id, name: c.title || "Group", picture: "", group: true };
    const user = c.peer?.user ?? "";
    const known = this.people.get(user);
    return { id: user, name: known?.name || c.peer?.name || user || "Somebody", picture: known?.picture ?? c.peer?.picture ?? "", group: false };
  }

  presence(user: UserId): Presence | undefined {
    return this.presences.get(user);
  }

  /** askPresences asks about people who are shown and whose conversations are not open:
   * of those nothing is told. */
  async askPresences(users: UserId[]): Promise<void> {
    try {
      for (const p of await this.client.presence(users)) this.presences.set(p.user, p);
      this.changed("presence");
    } catch { /* asked again */ }
  }

  /** typing names who writes in a conversation now. */
  typing(id: ConversationId): UserId[] {
    return [...(this.typists.get(id) ?? [])];
  }

  private typed(id: ConversationId, user: UserId, active: boolean): void {
    if (!active) return this.stopped(id, user);
    const set = this.typists.get(id) ?? new Set();
    this.typists.set(id, set.add(user));
    this.changed("list", `typing ${id}`);
  }

  private stopped(id: ConversationId, user: UserId): void {
    if (this.typists.get(id)?.delete(user)) this.changed("list", `typing ${id}`);
  }

  tell(n: News): void {
    this.putAway(n.id);
    this.news.push(n);
    this.changed("news");
  }

  putAway(id: string): void {
    const i = this.news.findIndex((n) => n.id === id);
    if (i >= 0) this.news.splice(i, 1);
    this.changed("news");
  }

  /** begun is the text that the user began in a conversation and has not sent. */
  begun(id: ConversationId): string {
    return this.writing.get(id)?.text ?? kept.get(this.begunKey(id)) ?? "";
  }

  begin(id: ConversationId, text: string): void {
    this.begunOf(id).text = text;
    this.keepBegun(id);
  }

  /** leave sends a text. Until it is safe in the outbox it is kept as one that was
   * begun, in case the page goes before that. */
  async leave(id: ConversationId, text: string): Promise<void> {
    const { leaving } = this.begunOf(id);
    leaving.push(text);
    this.begin(id, "");
    try {
      await this.client.send(id, text);
    } finally {
      leaving.splice(leaving.indexOf(text), 1);
      this.keepBegun(id);
    }
  }

  private begunOf(id: ConversationId): Begun {
    let w = this.writing.get(id);
    if (!w) this.writing.set(id, w = { text: "", leaving: [] });
    return w;
  }

  private keepBegun(id: ConversationId): void {
    const { text, leaving } = this.begunOf(id);
    const all = [...leaving, text].filter(Boolean).join("\n");
    if (all) kept.set(this.begunKey(id), all);
    else kept.remove(this.begunKey(id));
  }

  /** forget takes away what was begun, when the user logs out. */
  forget(): void {
    const own = this.begunKey("");
    for (const key of kept.keys()) if (key.startsWith(own) && key.length === own.length + 32) kept.remove(key);
  }

  private begunKey(id: ConversationId): string {
    return `begun.${this.client.user}.${id}`;
  }
}

const troubles: Record<string, News> = {
  store_full: { id: "store_full", tone: "danger", text: "This browser has no room left. The message was not taken: free some space, then send it again." },
  store_broken: { id: "store_broken", tone: "calm", text: "What this browser kept was cleared, and is read anew from the server." },
};

export const LiveContext = createContext<Live>(null!);

/** useLive is the client, and draws the component again when a topic changes. */
export function useLive(...topics: string[]): Live {
  const live = useContext(LiveContext);
  const [, set] = useState(0);
  useEffect(() => {
    const ends = topics.map((t) => live.subscribe(t, () => set((n) => n + 1)));
    return () => ends.forEach((end) => end());
  }, [live, topics.join("\n")]);
  return live;
}
