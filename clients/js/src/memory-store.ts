import type { Changes, ConversationRecord, DraftRecord, LaneRecord, MessageRecord, MetaRecord, Saved, Store } from "./store.js";

/**
 * Keeps everything in memory, and loses it with the process. Closing a client
 * leaves it as it is, for the next one.
 */
export class MemoryStore implements Store {
  #meta: MetaRecord | undefined;
  readonly #conversations = new Map<string, ConversationRecord>();
  readonly #lanes = new Map<string, LaneRecord>();
  readonly #drafts = new Map<string, DraftRecord>();
  readonly #held = new Map<string, Map<number, MessageRecord>>();

  async load(): Promise<Saved> {
    return structuredClone({
      meta: this.#meta,
      conversations: [...this.#conversations.values()],
      lanes: [...this.#lanes.values()],
      drafts: [...this.#drafts.values()],
    });
  }

  async apply(c: Changes): Promise<void> {
    if (c.meta !== undefined) this.#meta = c.meta;
    for (const id of c.gone) {
      this.#conversations.delete(id);
      this.#held.delete(id);
    }
    for (const v of c.conversations) this.#conversations.set(v.id, v);
    for (const l of c.lanes) this.#lanes.set(l.conversation, l);
    for (const d of c.drafts) this.#drafts.set(d.id, d);
    for (const id of c.dropped) this.#drafts.delete(id);
    for (const cut of c.cut) {
      const held = this.#held.get(cut.conversation);
      for (const seq of held?.keys() ?? []) if (seq >= cut.from && seq <= cut.to) held?.delete(seq);
    }
    for (const m of c.messages) {
      let held = this.#held.get(m.conversation);
      if (held === undefined) this.#held.set(m.conversation, (held = new Map()));
      held.set(m.seq, m);
    }
  }

  async messages(conversation: string, from: number, to: number, max: number): Promise<MessageRecord[]> {
    const held = [...this.#held.get(conversation)?.values() ?? []];
    return held.filter((m) => m.seq >= from && m.seq <= to).sort((a, b) => a.seq - b.seq).slice(0, max);
  }

  async close(): Promise<void> {}

  async erase(): Promise<void> {
    this.#meta = undefined;
    for (const map of [this.#conversations, this.#lanes, this.#drafts, this.#held]) map.clear();
  }
}
