// The protocol of a Parley server, as a page needs it: one connection that comes
// back by itself, an outbox that survives a reload of the tab, and what is known
// of each conversation. docs/PROTOCOL.md has the rules that are kept here.
//
// A Client fires "change" when anything that is shown may look different, and
// "end" when it has stopped for good.

const historyPage = 200;
const catchUpPages = 10; // beyond that a conversation is shown from its newest page
const backoffMax = 20_000; // ms
const retryAfter = 1000; // ms, where a refusal names no time

export class Client extends EventTarget {
  constructor({ url, token, user, storage }) {
    super();
    this.url = url;
    this.token = token;
    this.user = user;
    this.outbox = new Outbox(storage, user);
    this.conversations = new Map(); // by id
    this.status = "connecting";
    this.incarnation = null;
    this.cursor = "";
    this.attempts = 0;
    this.clock = 0; // counts what was heard
    this.stopped = false;
    this.connect();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  stop(reason) {
    this.stopped = true;
    this.status = reason;
    clearTimeout(this.timer);
    clearTimeout(this.watching);
    this.socket?.close();
    this.dispatchEvent(new CustomEvent("end", { detail: reason }));
  }

  // ---- the connection ----

  connect() {
    const socket = new WebSocket(this.url, ["parley.v1.json", "parley.token." + this.token]);
    this.socket = socket;
    this.watch();
    this.asked = new Map(); // replies awaited, by request
    this.ids = 0;
    this.pushes = 0;
    this.retryAfter = 0;
    socket.onmessage = ({ data }) => {
      for (const line of data.split("\n")) {
        if (line && socket === this.socket) this.hear(JSON.parse(line));
      }
    };
    socket.onclose = ({ code, reason }) => {
      if (socket === this.socket) this.closed(code, reason);
    };
  }

  closed(code, reason) {
    const asked = this.asked;
    this.asked = new Map();
    for (const answer of asked.values()) answer({ error: { code: 0, name: "disconnected" } });
    if (this.stopped) return;
    if (code >= 4300 && code < 4400) return this.stop("login");
    if (code >= 4200 && code < 4300) return this.stop(code === 4202 ? "open in another tab" : `closed: ${reason || code}`);
    this.status = "offline";
    // Full jitter: clients that lost one server do not come back at once.
    const most = Math.min(backoffMax, 500 * 2 ** this.attempts++);
    const wait = Math.max(this.retryAfter, Math.random() * most);
    this.timer = setTimeout(() => this.connect(), wait);
    this.changed();
  }

  ask(request) {
    if (this.socket.readyState !== WebSocket.OPEN) {
      return Promise.resolve({ error: { code: 0, name: "disconnected" } });
    }
    const id = ++this.ids;
    return new Promise((answer) => {
      this.asked.set(id, answer);
      this.socket.send(JSON.stringify({ id, ...request }));
    });
  }

  // watch ends a connection of which nothing is heard for two heartbeats: the
  // page sees no ping, but a check comes with each.
  watch() {
    clearTimeout(this.watching);
    const socket = this.socket;
    this.watching = setTimeout(() => {
      if (socket !== this.socket || this.stopped) return;
      socket.onclose = null; // a dead peer answers no close frame
      socket.close();
      this.closed(0, "");
    }, 2.5 * (this.welcome?.heartbeatMs || 30_000));
  }

  hear(m) {
    this.watch();
    if (m.replyTo) {
      const answer = this.asked.get(m.replyTo);
      this.asked.delete(m.replyTo);
      answer?.(m);
      return;
    }
    if (m.message || m.marks || m.state) this.pushes++;
    if (m.welcome) this.welcomed(m.welcome);
    else if (m.message) this.heardMessage(m.message);
    else if (m.marks) this.heardMarks(m.marks);
    else if (m.state) this.heardState(m.state);
    else if (m.goingAway) this.retryAfter = m.goingAway.retryAfterMs ?? 0;
    else if (m.check) this.checked(Number(m.check.pushes ?? 0));
  }

  // checked compares what the server pushed with what came. Fewer is a push that
  // was lost: what it told is found by a sync.
  checked(pushes) {
    if (pushes <= this.pushes) return;
    this.pushes = pushes;
    this.sync();
  }

  async welcomed(w) {
    this.welcome = w;
    this.attempts = 0;
    if (this.incarnation !== null && this.incarnation !== w.incarnation) {
      // The store was restored: what is held may never have happened there. Drafts
      // keep their streams: the store says which of their numbers it has.
      this.conversations.clear();
      this.cursor = "";
    }
    this.incarnation = w.incarnation;
    await this.sync();
    for (const id of this.outbox.waiting()) this.pump(id);
  }

  // ---- what is known ----

  conversation(id) {
    let c = this.conversations.get(id);
    if (!c) {
      // Messages from..to are held, without a hole.
      // delivered and read are shown, confirmed is what the server has said.
      c = {
        id, version: -1, messages: new Map(), from: 1, to: 0, last: 0, marks: new Map(), listed: false,
        delivered: 0, read: 0, confirmed: { delivered: 0, read: 0 },
        counts: { ordinal: 0, readOrdinal: 0, own: 0, ownAtRead: 0 },
      };
      this.conversations.set(id, c);
    }
    c.heard = ++this.clock;
    return c;
  }

  // unread follows from four numbers that a state carries, and is never counted.
  unread(c) {
    const n = c.counts;
    return Math.max(0, n.ordinal - n.readOrdinal - (n.own - n.ownAtRead));
  }

  async sync() {
    if (this.syncing) {
      this.again = true;
      return;
    }
    this.syncing = true;
    const named = new Set();
    const began = this.clock;
    let cursor = this.cursor;
    for (;;) {
      const { syncPage: page, error } = await this.ask({ sync: { cursor } });
      if (!page) { // a refusal is tried again; the next connection begins anew
        if (error.code) setTimeout(() => this.sync(), error.retryAfterMs || retryAfter);
        break;
      }
      for (const s of page.states ?? []) {
        named.add(s.conversation);
        this.heardState(s);
      }
      cursor = page.cursor;
      if (page.more) continue;
      this.cursor = cursor;
      if (page.authoritative && !page.unavailable) {
        for (const [id, c] of this.conversations) if (!named.has(id) && c.heard <= began) this.conversations.delete(id);
      }
      this.status = "online";
      for (const c of this.conversations.values()) this.tellMarks(c); // those of before this connection
      break;
    }
    this.syncing = false;
    this.changed();
    if (this.again) {
      this.again = false;
      this.sync();
    }
  }

  heardState(s) {
    const c = this.conversation(s.conversation);
    const version = Number(s.version ?? 0);
    if (version < c.version) return; // older than what is shown
    c.version = version;
    c.changed = Number(s.changed ?? 0);
    if (s.left) {
      c.listed = false;
      c.left = true;
      this.changed();
      return;
    }
    Object.assign(c, {
      listed: true, left: false, kind: s.kind, title: s.kind === "CONVERSATION_DIRECT" ? s.peer.user : s.title || "group",
      last: Number(s.last ?? 0), role: s.role,
    });
    c.confirmed = { delivered: Number(s.delivered ?? 0), read: Number(s.read ?? 0) };
    c.delivered = Math.max(c.delivered, c.confirmed.delivered);
    Object.assign(c.counts, { ordinal: Number(s.ordinal ?? 0), own: Number(s.own ?? 0) });
    if (c.confirmed.read >= c.read) {
      c.read = c.confirmed.read;
      Object.assign(c.counts, { readOrdinal: Number(s.readOrdinal ?? 0), ownAtRead: Number(s.ownAtRead ?? 0) });
    }
    if (s.peer) this.raise(c, s.peer.user, s.peer.delivered, s.peer.read);
    this.catchUp(c);
    this.changed();
  }

  // raise keeps the highest marks: no tick that was shown falls.
  raise(c, user, delivered, read) {
    const m = c.marks.get(user) ?? { delivered: 0, read: 0 };
    m.read = Math.max(m.read, Number(read ?? 0));
    m.delivered = Math.max(m.delivered, m.read, Number(delivered ?? 0));
    c.marks.set(user, m);
  }

  heardMarks(k) {
    const c = this.conversation(k.conversation);
    this.raise(c, k.user, k.delivered, k.read);
    this.changed();
  }

  heardMessage(m) {
    const c = this.conversation(m.conversation);
    const seq = Number(m.seq);
    if (seq > c.last) {
      c.last = seq;
      c.changed = Number(m.at);
      c.counts.ordinal = Number(m.ordinal ?? 0);
      if (m.kind !== "KIND_SYSTEM" && m.from === this.user) c.counts.own++;
    }
    c.version = Math.max(c.version, Number(m.version ?? 0));
    if (c.to === seq - 1) this.hold(c, [m]);
    else this.catchUp(c);
    this.changed();
  }

  // hold adds messages that follow those held, or stand before them.
  hold(c, messages) {
    for (const m of messages) {
      const seq = Number(m.seq);
      c.messages.set(seq, m);
      if (seq === c.to + 1) c.to = seq;
    }
    this.acknowledge(c);
  }

  // catchUp reads what is missing behind the messages held. A conversation seen
  // for the first time is read from a little before what this user had.
  async catchUp(c) {
    if (c.catching || c.left || c.to >= c.last) return;
    c.catching = true;
    if (c.to === 0) {
      c.from = Math.max(1, c.delivered - 30);
      c.to = c.from - 1;
    }
    for (let pages = 0; c.to < c.last; pages++) {
      if (pages === catchUpPages) { // too much: show the newest, and leave a hole that scrolling fills
        c.messages.clear();
        c.from = Math.max(1, c.last - historyPage + 1);
        c.to = c.from - 1;
      }
      const { page, error } = await this.ask({ history: { conversation: c.id, from: c.to + 1, to: c.last, limit: historyPage } });
      if (error?.code && error.code < 2000) setTimeout(() => this.catchUp(c), error.retryAfterMs || retryAfter);
      if (!page || !this.take(c, page)) break;
    }
    c.catching = false;
    this.acknowledge(c);
    this.changed();
  }

  // take puts a page behind the messages held.
  take(c, page) {
    const to = Number(page.to ?? 0);
    if (Number(page.from ?? 0) !== c.to + 1 || to <= c.to) return false;
    for (const { message } of page.items ?? []) if (message) c.messages.set(Number(message.seq), message);
    c.to = to;
    return true;
  }

  // older reads the page before the messages held.
  async older(c) {
    if (c.reading || c.from <= 1) return;
    c.reading = true;
    const { page } = await this.ask({ history: { conversation: c.id, from: 1, to: c.from - 1, backward: true, limit: 50 } });
    c.reading = false;
    if (!page || Number(page.to ?? 0) !== c.from - 1) return;
    for (const { message } of page.items ?? []) if (message) c.messages.set(Number(message.seq), message);
    c.from = Number(page.from);
    this.changed();
  }

  // acknowledge takes note of what is held without a hole.
  acknowledge(c) {
    if (c.to > c.delivered && c.from <= c.delivered + 1) c.delivered = c.to;
    this.tellMarks(c);
  }

  // markRead says that the user has seen everything, once it is all held.
  markRead(c) {
    if (c.to <= c.read || c.to < c.last) return;
    c.read = c.to;
    c.counts.readOrdinal = c.counts.ordinal;
    c.counts.ownAtRead = c.counts.own;
    this.tellMarks(c);
    this.changed();
  }

  // tellMarks has the server hear of what it does not know. It waits a moment, so
  // that several ride together; what is refused or lost is told again.
  tellMarks(c) {
    if (c.left || (c.delivered <= c.confirmed.delivered && c.read <= c.confirmed.read)) return;
    this.unmarked ??= new Set();
    this.unmarked.add(c);
    this.marking ??= setTimeout(async () => {
      const told = [...this.unmarked].slice(0, 256).map((k) => ({ c: k, delivered: k.delivered, read: k.read }));
      for (const t of told) this.unmarked.delete(t.c);
      const marks = told.map((t) => ({ conversation: t.c.id, delivered: t.delivered, read: t.read }));
      const { done, error } = await this.ask({ acknowledge: { marks } });
      this.marking = undefined;
      if (done) {
        for (const t of told) {
          t.c.confirmed.delivered = Math.max(t.c.confirmed.delivered, t.delivered);
          t.c.confirmed.read = Math.max(t.c.confirmed.read, t.read);
        }
      } else if (error.code && error.code < 2000) {
        setTimeout(() => told.forEach((t) => this.tellMarks(t.c)), error.retryAfterMs || retryAfter);
      }
      for (const k of this.unmarked) this.tellMarks(k); // those that came up meanwhile
    }, 5);
  }

  // ---- sending ----

  send(id, text) {
    text = text.toWellFormed(); // what is not Unicode cannot be sent
    const most = this.welcome?.bodyMax ?? Infinity;
    if (new TextEncoder().encode(text).length > most) {
      this.outbox.refuse(id, text, `longer than ${most} bytes`);
    } else {
      this.outbox.add(id, text);
      this.pump(id);
    }
    this.changed();
  }

  // pump sends the oldest draft of a conversation; one is on its way at a time,
  // so their order is that of writing whatever is refused.
  async pump(id) {
    const d = this.outbox.first(id);
    if (!d || d.flying || !this.welcome || this.stopped) return;
    d.flying = true;
    const stream = this.outbox.streamOf(id, this.welcome.stream);
    const a = await this.ask({ send: { conversation: id, stream, number: d.number, kind: "KIND_TEXT", text: d.text } });
    d.flying = false;
    if (a.sent) this.settled(id, d, a.sent);
    else if (await this.refused(id, d, a.error)) return;
    this.changed();
    this.pump(id);
  }

  settled(id, d, sent) {
    const c = this.conversation(id);
    this.outbox.done(id);
    const seq = Number(sent.seq);
    const m = { conversation: id, seq, from: this.user, kind: "KIND_TEXT", text: d.text, at: sent.at };
    if (seq > c.last) {
      c.last = seq;
      c.changed = Number(sent.at);
      c.counts.ordinal++; // of messages between, their pushes bring the number
      c.counts.own++;
    }
    c.version = Math.max(c.version, Number(sent.version ?? 0));
    if (seq === c.to + 1) this.hold(c, [m]);
    else if (seq > c.to) this.catchUp(c);
  }

  // refused settles a refusal. It reports whether to wait with the next send.
  async refused(id, d, error) {
    const code = error?.code ?? 0;
    if (code === 0) return true; // the connection is gone: welcomed sends again
    if (error.name === "retry_in_order") {
      this.outbox.renumber(id, error.expected);
      return false;
    }
    if (error.name === "resend_unknown") {
      // The server has forgotten the stream. It may have the message all the same.
      const found = await this.ask({ findSent: { conversation: id, stream: this.outbox.streamOf(id), number: d.number } });
      if (found.sent) {
        this.settled(id, d, found.sent);
        return false;
      }
      if (found.error.name === "resend_unknown") return this.renew(id); // it was never stored
      error = found.error;
      if (!error.code) return true;
    }
    if (error.name === "number_reused") return this.renew(id); // this outbox lost count
    if (error.code < 2000) {
      setTimeout(() => this.pump(id), error.retryAfterMs || retryAfter);
      return true;
    }
    if (code >= 3000) {
      this.stop("login");
      return true;
    }
    this.outbox.fail(id, error.message || error.name);
    return false;
  }

  // renew goes on with a stream of which no number was used in the conversation.
  // Each connection brings one; where it is used already, the next brings another.
  renew(id) {
    if (this.outbox.begin(id, this.welcome.stream)) return false;
    this.socket.close();
    return true;
  }

  // ---- changes ----

  async createDirect(peer) {
    return this.created(await this.ask({ create: { peer } }));
  }

  async createGroup(title, members) {
    return this.created(await this.ask({ create: { title, members } }));
  }

  created({ state, error }) {
    if (!state) throw new Error(error.name === "unknown_user" ? "Nobody of that name has logged in yet." : error.message || error.name);
    this.heardState(state);
    return state.conversation;
  }
}

// Outbox keeps drafts until they are sent. A conversation has a stream, given by
// the server; the number of a draft is its place there: 1, 2, 3. A tab has an
// outbox of its own, for two that send with one stream would close each other.
// Closing the tab gives up what still waits.
class Outbox {
  constructor(storage, user) {
    this.storage = storage;
    this.key = "parley.outbox." + user;
    this.boxes = JSON.parse(storage.getItem(this.key) ?? "{}"); // conversation: {stream, used, next, drafts, failed}
    for (const b of Object.values(this.boxes)) for (const d of b.drafts) d.flying = false;
  }

  save() {
    this.storage.setItem(this.key, JSON.stringify(this.boxes));
  }

  box(id) {
    return (this.boxes[id] ??= { stream: null, used: [], next: 1, drafts: [], failed: [] });
  }

  // streamOf is the stream of a conversation; fresh becomes it if there is none.
  streamOf(id, fresh) {
    const b = this.box(id);
    if (b.stream === null && fresh) this.begin(id, fresh);
    return b.stream;
  }

  // begin goes on with another stream, in which every number is free. It reports
  // false for one that was used here before.
  begin(id, stream) {
    const b = this.box(id);
    if (b.used.includes(stream)) return false;
    b.stream = stream;
    b.used.push(stream);
    this.renumber(id, 1);
    return true;
  }

  add(id, text) {
    const b = this.box(id);
    b.drafts.push({ number: b.next++, text, at: Date.now() });
    this.save();
  }

  first(id) {
    return this.boxes[id]?.drafts[0];
  }

  waiting() {
    return Object.keys(this.boxes).filter((id) => this.boxes[id].drafts.length > 0);
  }

  done(id) {
    this.box(id).drafts.shift();
    this.save();
  }

  // fail gives the oldest draft up; its number is free again.
  fail(id, reason) {
    const b = this.box(id);
    const d = b.drafts.shift();
    b.failed.push({ ...d, reason });
    this.renumber(id, d.number);
  }

  // refuse keeps a text that is not even tried.
  refuse(id, text, reason) {
    this.box(id).failed.push({ text, at: Date.now(), reason });
    this.save();
  }

  // forget takes a failed draft away.
  forget(id, at) {
    const b = this.box(id);
    b.failed = b.failed.filter((d) => d.at !== at);
    this.save();
  }

  renumber(id, first) {
    const b = this.box(id);
    for (const d of b.drafts) d.number = first++;
    b.next = first;
    this.save();
  }
}
