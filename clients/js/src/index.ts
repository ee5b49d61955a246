// The client of Parley, for browsers and Node. docs/CLIENT-JS.md is its manual.
export type * from "./api.js";
export type { Changes, ConversationRecord, DraftRecord, LaneRecord, MemberRecord, MessageRecord, MetaRecord, Saved, Span, Store } from "./store.js";
export { ParleyError, StoreError } from "./errors.js";
export { Client } from "./client.js";
export { MemoryStore } from "./memory-store.js";
export { IndexedDBStore } from "./indexeddb-store.js";
