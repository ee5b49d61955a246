import { reasonOf, StoreError } from "./errors.js";
import type { Changes, ConversationRecord, DraftRecord, LaneRecord, MessageRecord, MetaRecord, Saved, Store } from "./store.js";

// The database, version 1. Keys:
//
//   meta           "meta" → MetaRecord, "epoch" → number
//   conversations  id
//   lanes          conversation
//   drafts         id
//   messages       [conversation, seq]
//
// The epoch is raised by whoever loads the store, and checked in every change: a tab
// that believes to lead, and is not the last that began to, writes nothing.
const version = 1;
const all = ["meta", "conversations", "lanes", "drafts", "messages"];

/** Keeps everything in a database of the browser; see docs/CLIENT-JS.md. */
export class IndexedDBStore implements Store {
  #db: IDBDatabase | undefined;
  #epoch = 0;

  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
  }

  async load(): Promise<Saved> {
    await this.#open();
    const tx = await this.#begin("readwrite");
    const meta = tx.objectStore("meta");
    const epoch = meta.get("epoch") as IDBRequest<number | undefined>;
    epoch.onsuccess = () => {
      this.#epoch = (epoch.result ?? 0) + 1;
      meta.put(this.#epoch, "epoch");
    };
    const found = meta.get("meta") as IDBRequest<MetaRecord | undefined>;
    const conversations = tx.objectStore("conversations").getAll() as IDBRequest<ConversationRecord[]>;
    const lanes = tx.objectStore("lanes").getAll() as IDBRequest<LaneRecord[]>;
    const drafts = tx.objectStore("drafts").getAll() as IDBRequest<DraftRecord[]>;
    await committed(tx);
    return { meta: found.result, conversations: conversations.result, lanes: lanes.result, drafts: drafts.result };
  }

  async apply(c: Changes): Promise<void> {
    const tx = await this.#begin("readwrite");
    let refused: StoreError | undefined;
    const epoch = tx.objectStore("meta").get("epoch") as IDBRequest<number | undefined>;
    epoch.onsuccess = () => {
      if (epoch.result === this.#epoch) {
        try {
          write(tx, c);
        } catch (e) {
          refused = failed(e);
          tx.abort();
        }
        return;
      }
      refused = epoch.result === undefined
        ? new StoreError("store_broken", "the database was emptied", undefined, true)
        : new StoreError("replaced", "another tab leads");
      if (epoch.result === undefined) tx.objectStore("meta").put(this.#epoch, "epoch");
      else tx.abort();
    };
    try {
      await committed(tx);
    } catch (e) {
      throw refused ?? e;
    }
    if (refused !== undefined) throw refused;
  }

  async messages(conversation: string, from: number, to: number, max: number): Promise<MessageRecord[]> {
    const tx = await this.#begin("readonly");
    const found = tx.objectStore("messages").getAll(stretch(conversation, from, to), max) as IDBRequest<MessageRecord[]>;
    await committed(tx);
    return found.result;
  }

  async close(): Promise<void> {
    this.#db?.close();
    this.#db = undefined;
  }

  async erase(): Promise<void> {
    await this.close();
    await new Promise<void>((resolve, reject) => {
      const r = indexedDB.deleteDatabase(this.#name);
      r.onsuccess = () => resolve();
      r.onerror = () => reject(failed(r.error));
    });
  }

  /** Begins a transaction. A connection that the browser has closed is opened anew, once. */
  async #begin(mode: IDBTransactionMode): Promise<IDBTransaction> {
    const begin = (db: IDBDatabase) => db.transaction(all, mode, { durability: "strict" });
    try {
      return begin(this.#db!);
    } catch {
      return begin(await this.#open());
    }
  }

  async #open(): Promise<IDBDatabase> {
    await this.close();
    const db = await new Promise<IDBDatabase>((resolve, reject) => {
      const r = indexedDB.open(this.#name, version); // which some browsers forbid
      r.onupgradeneeded = () => {
        r.result.createObjectStore("meta");
        const keys = { conversations: "id", lanes: "conversation", drafts: "id", messages: ["conversation", "seq"] };
        for (const [name, keyPath] of Object.entries(keys)) r.result.createObjectStore(name, { keyPath });
      };
      r.onsuccess = () => resolve(r.result);
      r.onerror = () => reject(r.error);
    }).catch((e: unknown) => {
      throw failed(e);
    });
    const gone = () => {
      db.close();
      if (this.#db === db) this.#db = undefined;
    };
    db.onversionchange = gone; // somebody deletes it, or a newer version wants it
    db.onclose = gone;
    return (this.#db = db);
  }
}

function write(tx: IDBTransaction, c: Changes): void {
  const conversations = tx.objectStore("conversations");
  const messages = tx.objectStore("messages");
  const drafts = tx.objectStore("drafts");
  if (c.meta !== undefined) tx.objectStore("meta").put(c.meta, "meta");
  for (const id of c.gone) {
    conversations.delete(id);
    messages.delete(stretch(id, 0, Infinity));
  }
  for (const v of c.conversations) conversations.put(v);
  for (const l of c.lanes) tx.objectStore("lanes").put(l);
  for (const d of c.drafts) drafts.put(d);
  for (const id of c.dropped) drafts.delete(id);
  for (const cut of c.cut) messages.delete(stretch(cut.conversation, cut.from, cut.to));
  for (const m of c.messages) messages.put(m);
}

function stretch(conversation: string, from: number, to: number): IDBKeyRange {
  return IDBKeyRange.bound([conversation, from], [conversation, to]);
}

function committed(tx: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    tx.oncomplete = () => resolve();
    tx.onabort = () => reject(failed(tx.error));
  });
}

function failed(cause: unknown): StoreError {
  const name = (cause as { name?: string } | null)?.name;
  return name === "QuotaExceededError"
    ? new StoreError("store_full", "the browser gives no more room", cause)
    : new StoreError("store_broken", "IndexedDB: " + reasonOf(cause), cause);
}
