// The protocol of a Parley server, as a page needs it: one connection that comes
// back by itself, an outbox that survives a reload of the tab, and what is known
// of each conversation. docs/PROTOCOL.md has the rules that are kept here.
//
// A Client fires "change" when anything that is shown may look different, and
// "end" when it has stopped for good.

const historyPage = 200;
const catchUpPages = 10; // beyond that a conversation is shown from its newest page
const backoffMax = 20_000; // ms

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
    this.socket?.close();
    this.dispatchEvent(new CustomEvent("end", { detail: reason }));
  }

  // ---- the connection ----

  connect() {
    const socket = new WebSocket(this.url, ["parley.v1.json", "parley.token." + this.token]);
    this.socket = socket;
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

  hear(m) {
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
    this.attempts = 0;
    if (this.incarnation !== null && this.incarnation !== w.incarnation) {
      // The store was restored: what is held may never have happened there.
      this.conversations.clear();
      this.cursor = "";
      this.outbox.begin(w.stream, w.incarnation);
    }
    this.incarnation = w.incarnation;
    this.outbox.adopt(w.stream, w.incarnation);
    this.fresh = w.stream;
    await this.sync();
    for (const id of this.outbox.waiting()) this.pump(id);
  }

  // ---- what is known ----

  conversation(id) {
    let c = this.conversations.get(id);
    if (!c) {
      // Messages from..to are held, without a hole.
      c = { id, version: -1, messages: new Map(), from: 1, to: 0, delivered: 0, read: 0, last: 0, unread: 0, marks: new Map(), listed: false };
      this.conversations.set(id, c);
    }
    return c;
  }

  async sync() {
    if (this.syncing) {
      this.again = true;
      return;
    }
    this.syncing = true;
    const named = new Set();
    let cursor = this.cursor;
    for (;;) {
      const { syncPage: page } = await this.ask({ sync: { cursor } });
      if (!page) break; // the next connection begins anew
      for (const s of page.states ?? []) {
        named.add(s.conversation);
        this.heardState(s);
      }
      cursor = page.cursor;
      if (page.more) continue;
      this.cursor = cursor;
      if (page.authoritative && !page.unavailable) {
        for (const id of this.conversations.keys()) if (!named.has(id)) this.conversations.delete(id);
      }
      this.status = "online";
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
      last: Number(s.last ?? 0), unread: Number(s.unread ?? 0), role: s.role,
    });
    c.delivered = Math.max(c.delivered, Number(s.delivered ?? 0));
    c.read = Math.max(c.read, Number(s.read ?? 0));
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
      if (m.kind !== "KIND_SYSTEM" && m.from !== this.user) c.unread++;
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
      const { page } = await this.ask({ history: { conversation: c.id, from: c.to + 1, to: c.last, limit: historyPage } });
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

  // acknowledge tells the server what is held without a hole. It waits a moment,
  // so that several ride together.
  acknowledge(c) {
    if (c.to > c.delivered && c.from <= c.delivered + 1) this.mark(c, c.to, c.read);
  }

  // markRead says that the user has seen everything that is held.
  markRead(c) {
    if (c.to <= c.read) return;
    c.read = c.to;
    if (c.to >= c.last) c.unread = 0;
    this.mark(c, Math.max(c.delivered, c.from <= c.delivered + 1 ? c.to : 0), c.read);
    this.changed();
  }

  mark(c, delivered, read) {
    this.marks ??= new Map();
    this.marks.set(c.id, { conversation: c.id, delivered, read });
    this.marking ??= setTimeout(async () => {
      const marks = [...this.marks.values()];
      this.marks = this.marking = undefined;
      const { done } = await this.ask({ acknowledge: { marks } });
      // What was not taken is found again: the next state shows less, and what is
      // held is acknowledged once more.
      if (done) for (const m of marks) {
        const k = this.conversations.get(m.conversation);
        if (k) k.delivered = Math.max(k.delivered, m.delivered);
      }
    }, 5);
  }

  // ---- sending ----

  send(id, text) {
    this.outbox.add(id, text);
    this.pump(id);
    this.changed();
  }

  // pump sends the oldest draft of a conversation; one is on its way at a time,
  // so their order is that of writing whatever is refused.
  async pump(id) {
    const d = this.outbox.first(id);
    if (!d || d.flying || this.status === "login") return;
    d.flying = true;
    const a = await this.ask({ send: { conversation: id, stream: this.outbox.stream, number: d.number, kind: "KIND_TEXT", text: d.text } });
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
      const { sent } = await this.ask({ findSent: { conversation: id, stream: this.outbox.stream, number: d.number } });
      if (sent) this.settled(id, d, sent);
      else this.outbox.begin(this.fresh, this.incarnation);
      return false;
    }
    if (code < 2000) {
      setTimeout(() => this.pump(id), error.retryAfterMs || 1000);
      return true;
    }
    if (code >= 3000) {
      this.stop("login");
      return true;
    }
    this.outbox.fail(id, error.message || error.name, error.name !== "number_reused");
    return false;
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

// Outbox keeps drafts until they are sent. Its stream is given by the server and
// kept with it; the number of a draft is its place in its conversation: 1, 2, 3.
// A tab has its own, for two that send with one stream would close each other.
class Outbox {
  constructor(storage, user) {
    this.storage = storage;
    this.key = "parley.outbox." + user;
    const kept = JSON.parse(storage.getItem(this.key) ?? "{}");
    this.stream = kept.stream ?? null;
    this.incarnation = kept.incarnation ?? null;
    this.boxes = kept.boxes ?? {}; // conversation: {next, drafts, failed}
    for (const b of Object.values(this.boxes)) for (const d of b.drafts) d.flying = false;
  }

  save() {
    this.storage.setItem(this.key, JSON.stringify({ stream: this.stream, incarnation: this.incarnation, boxes: this.boxes }));
  }

  // adopt takes a stream where there is none, or a new store.
  adopt(stream, incarnation) {
    if (this.stream === null || this.incarnation !== incarnation) this.begin(stream, incarnation);
  }

  // begin goes on with a fresh stream, in which every number is free.
  begin(stream, incarnation) {
    this.stream = stream;
    this.incarnation = incarnation;
    for (const id of Object.keys(this.boxes)) this.renumber(id, 1);
    this.save();
  }

  box(id) {
    return (this.boxes[id] ??= { next: 1, drafts: [], failed: [] });
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

  // fail gives a draft up. Its number is free again, unless it was taken.
  fail(id, reason, free) {
    const b = this.box(id);
    const d = b.drafts.shift();
    b.failed.push({ ...d, reason });
    if (free) this.renumber(id, d.number);
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
