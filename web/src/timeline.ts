import type { Client, Conversation, ConversationId, Events, Item, Page } from "@parleychat/client";

const page = 16; // messages read at once: few enough to be drawn within a frame
const most = 120; // kept, and drawn; what is further away is read again

/**
 * Timeline is the stretch of a conversation that is on the screen and near it: one
 * range of sequences without a gap, at most `most` long, that is moved up and down.
 */
export class Timeline {
  items: readonly Item[] = [];
  from = 1;
  to = 0;
  before = false; // there is more in front of it
  after = false; // and behind it
  loaded = false;
  busy: "older" | "newer" | null = null;
  partial = false; // what lies next to it could not be read
  private epoch = 0; // rises when everything is read anew
  private closed = false;
  private readonly ends: (() => void)[];

  constructor(private readonly client: Client, readonly id: ConversationId, private readonly changed: () => void) {
    this.ends = [
      client.on("messages", (e) => { if (e.id === id) this.arrived(e); }),
      client.on("restored", (e) => { if (e.id === id) void this.newest(); }),
      client.on("connection", (e) => { if (e.connection.status === "online" && this.partial) void this.again(); }),
    ];
  }

  close(): void {
    this.closed = true;
    for (const end of this.ends) end();
  }

  /** open reads the newest messages, or those around a sequence. */
  async open(around?: number): Promise<void> {
    const epoch = ++this.epoch;
    this.busy = "newer";
    const p = await this.read(around === undefined ? { limit: 2 * page } : { around, limit: 3 * page });
    if (!p || epoch !== this.epoch) return;
    this.busy = null;
    Object.assign(this, { items: p.items, from: p.from, to: p.to, before: p.before, after: p.after, partial: p.partial, loaded: true });
    this.changed();
    this.catchUp();
  }

  newest(): Promise<void> {
    return this.open();
  }

  older(): Promise<void> {
    return this.extend("older");
  }

  newer(): Promise<void> {
    return this.extend("newer");
  }

  /** again reads what the connection, now back, makes readable. */
  private async again(): Promise<void> {
    this.partial = false;
    if (this.items.length === 0) return this.open();
    this.changed();
    this.catchUp();
  }

  private async extend(way: "older" | "newer"): Promise<void> {
    if (this.busy || this.partial || !this.loaded || !(way === "older" ? this.before : this.after)) return;
    const epoch = this.epoch;
    this.busy = way;
    const p = await this.read(way === "older" ? { before: this.from, limit: page } : { after: this.to, limit: page });
    if (epoch !== this.epoch) return;
    this.busy = null;
    if (p && way === "older") this.prepend(p);
    else if (p) this.append(p);
    this.changed();
  }

  private prepend(p: Page): void {
    this.partial = p.partial;
    if (p.to >= p.from && p.to + 1 !== this.from) return;
    this.before = p.before;
    this.from = Math.min(this.from, p.from);
    this.items = [...p.items, ...this.items];
    if (this.items.length <= most) return;
    this.items = this.items.slice(0, most);
    this.to = end(this.items[most - 1]!);
    this.after = true;
  }

  private append(p: Page): void {
    this.partial = p.partial;
    if (p.to >= p.from && p.from !== this.to + 1) return;
    this.after = p.after;
    this.to = Math.max(this.to, p.to);
    this.items = [...this.items, ...p.items];
    this.dropFront();
  }

  private dropFront(): void {
    const over = this.items.length - most;
    if (over <= 0) return;
    this.items = this.items.slice(over);
    this.from = start(this.items[0]!);
    this.before = true;
  }

  private arrived(e: Events["messages"]): void {
    if (!this.loaded || this.after) return; // they are read when the reader comes there
    const fresh = e.items.filter((i) => start(i) > this.to);
    const first = fresh[0];
    if (!first) return;
    if (e.hole || start(first) !== this.to + 1) {
      this.after = true;
      this.changed();
      return this.catchUp();
    }
    this.items = [...this.items, ...fresh];
    this.to = end(fresh[fresh.length - 1]!);
    if (this.items.length > 1.4 * most) this.dropFront(); // not at each message
    this.changed();
  }

  /** catchUp reads what came while this was reading. */
  private catchUp(): void {
    const last = this.client.conversation(this.id)?.last ?? 0;
    if (!this.after && last > this.to && !this.partial) this.after = true;
    if (this.after && last - this.to <= page) void this.newer();
  }

  private async read(query: Parameters<Client["history"]>[1]): Promise<Page | null> {
    try {
      const p = await this.client.history(this.id, query);
      return this.closed ? null : p;
    } catch {
      if (!this.closed) { this.partial = true; this.loaded = true; this.busy = null; this.changed(); }
      return null;
    }
  }
}

const start = (i: Item): number => (i.type === "message" ? i.seq : i.from);
const end = (i: Item): number => (i.type === "message" ? i.seq : i.to);

/** firstUnread is the sequence behind which a reader goes on; nothing if all is read. */
export const firstUnread = (c: Conversation | undefined): number | undefined => (c && c.unread > 0 ? c.read + 1 : undefined);
