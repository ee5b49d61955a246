import type { AnyEvent, Connection, Conversation, Draft } from "./api.js";
import type { Patch } from "./core/core.js";
import { ConversationView, sameData, type ConversationData } from "./views.js";

interface Placed {
  readonly order: number;
  readonly draft: Draft;
}

/** What a server takes by default. */
const bodyMaxDefault = 60 * 1024;

/** What one tab shows: the same in the tab that leads and in the others. */
export class Mirror {
  user = "";
  device = "";
  bodyMax = bodyMaxDefault;
  connection: Connection = { status: "offline" };
  #list: readonly ConversationView[] = [];
  readonly #byId = new Map<string, ConversationView>();
  readonly #lanes = new Map<string, Map<string, Placed>>();
  readonly #draftLists = new Map<string, readonly Draft[]>();

  conversations(): readonly Conversation[] {
    return this.#list;
  }

  conversation(id: string): Conversation | undefined {
    return this.#byId.get(id);
  }

  drafts(id: string): readonly Draft[] {
    let list = this.#draftLists.get(id);
    if (list === undefined) {
      const lane = [...(this.#lanes.get(id)?.values() ?? [])].sort((a, b) => a.order - b.order);
      this.#draftLists.set(id, (list = Object.freeze(lane.map((p) => p.draft))));
    }
    return list;
  }

  /** Takes over all that there is, and returns what is new in it. */
  replace(p: Patch): AnyEvent[] {
    const there = new Set(p.conversations?.map((c) => c.id));
    const drafts = new Set(p.drafts?.map((d) => d.draft.id));
    const discarded = [...this.#lanes.values()].flatMap((lane) => [...lane.values()].map((d) => d.draft)).filter((d) => !drafts.has(d.id));
    // What the last leader stored and told nobody is named, for the app to read.
    const missed = (p.conversations ?? []).flatMap((c): AnyEvent[] => {
      const told = (this.#byId.get(c.id) as unknown as ConversationData | undefined)?.told;
      return told === undefined || c.told <= told ? [] : [{ type: "messages", id: c.id, items: [], hole: { from: told + 1, to: c.told } }];
    });
    const events = this.apply({ ...p, gone: [...this.#byId.keys()].filter((id) => !there.has(id)), settled: discarded });
    return [...events, ...missed];
  }

  /** Takes over what has changed, and returns the events that tell it. */
  apply(p: Patch): AnyEvent[] {
    const events: AnyEvent[] = [];
    if (p.user !== undefined) this.user = p.user;
    if (p.device !== undefined) this.device = p.device;
    if (p.bodyMax) this.bodyMax = p.bodyMax;
    if (p.connection !== undefined) {
      this.connection = p.connection;
      events.push({ type: "connection", connection: p.connection });
    }
    this.#placeDrafts(p, events);
    this.#placeConversations(p, events);
    for (const id of p.gone ?? []) events.push({ type: "gone", id });
    events.push(...(p.events ?? []));
    return events;
  }

  #placeConversations(p: Patch, events: AnyEvent[]): void {
    const changed = (p.conversations ?? []).filter((data) => {
      const was = this.#byId.get(data.id);
      return !was || !sameData(was as unknown as ConversationData, data);
    });
    if (changed.length === 0 && !p.gone?.length) return;
    for (const id of p.gone ?? []) this.#byId.delete(id);
    const views = changed.map((data) => new ConversationView(data));
    for (const view of views) {
      this.#byId.set(view.id, view);
      events.push({ type: "conversation", id: view.id });
    }
    // What stays is sorted, so that sorting costs little more than looking at it.
    const stay = this.#list.filter((v) => this.#byId.get(v.id) === v);
    this.#list = Object.freeze([...stay, ...views].sort(compare));
  }

  #placeDrafts(p: Patch, events: AnyEvent[]): void {
    for (const { order, draft } of p.drafts ?? []) {
      let lane = this.#lanes.get(draft.conversation);
      if (!lane) this.#lanes.set(draft.conversation, (lane = new Map()));
      const was = lane.get(draft.id)?.draft;
      lane.set(draft.id, { order, draft });
      this.#draftLists.delete(draft.conversation);
      if (!was || was.status !== draft.status || draft.status === "failed") {
        events.push({ type: "draft", id: draft.conversation, draft, discarded: false });
      }
    }
    for (const draft of p.settled ?? []) this.#removeDraft(draft);
    for (const draft of p.discarded ?? []) {
      if (this.#removeDraft(draft)) events.push({ type: "draft", id: draft.conversation, draft, discarded: true });
    }
  }

  #removeDraft(draft: Draft): boolean {
    const lane = this.#lanes.get(draft.conversation);
    if (lane?.delete(draft.id) !== true) return false;
    this.#draftLists.delete(draft.conversation);
    if (lane.size === 0) this.#lanes.delete(draft.conversation);
    return true;
  }
}

/** The newest change first. */
function compare(a: Conversation, b: Conversation): number {
  return b.changed.getTime() - a.changed.getTime() || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
