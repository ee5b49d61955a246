// The page: draws what a Client knows, and tells it what the user does.
import { Client } from "./protocol.js";

const $ = (id) => document.getElementById(id);
let client = null;
let open = null; // id of the conversation shown
let drawing = false;
let announced = 0; // last sequence read out
let atBottom = true;
let listShown = ""; // what the list was drawn from
let messagesShown = "";

// ---- logging in ----

const session = sessionStorage; // a tab each, so that two tabs can be two users

$("login").addEventListener("submit", async (e) => {
  e.preventDefault();
  $("login-error").textContent = "";
  const user = $("login-user").value.trim();
  const token = $("login-token").value.trim() || (await developmentToken(user));
  if (token) logIn(token);
});

// developmentToken asks a server that runs with --dev. Another wants a token of
// the app's own login.
async function developmentToken(user) {
  try {
    const r = await fetch("/v1/dev/token", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user }),
    });
    if (r.ok) return (await r.json()).token;
    if (r.status === 404) {
      $("login-token-row").hidden = false;
      $("login-token").focus();
      $("login-error").textContent = "This server gives no tokens. Paste one of your app's.";
    } else {
      $("login-error").textContent = (await r.text()).trim();
    }
  } catch {
    $("login-error").textContent = "The server does not answer.";
  }
  return null;
}

// userOf reads a token's subject, to show it. The server is who believes it.
function userOf(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)).sub;
  } catch {
    return "";
  }
}

function logIn(token) {
  const user = userOf(token);
  if (!user) {
    $("login-error").textContent = "That is no token.";
    return;
  }
  session.setItem("parley.token", token);
  const url = new URL("/ws", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  client = new Client({ url, token, user, storage: session });
  client.addEventListener("change", draw);
  client.addEventListener("end", ({ detail }) => {
    if (detail === "login") logOut("Please log in again.");
    else draw();
  });
  $("login").hidden = true;
  $("chat").hidden = false;
  $("me").textContent = user;
  document.title = `${user} – Parley`;
  draw();
}

function logOut(why) {
  const c = client;
  client = open = null;
  c?.stop("logged out");
  session.removeItem("parley.token");
  $("login").hidden = false;
  $("chat").hidden = true;
  $("login-error").textContent = why;
  document.title = "Parley";
}

$("logout").addEventListener("click", () => logOut(""));

// ---- conversations ----

$("new-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  $("new-error").textContent = "";
  const names = $("new-peer").value.split(",").map((s) => s.trim()).filter(Boolean);
  if (names.length === 0) return;
  try {
    const id = names.length === 1
      ? await client.createDirect(names[0])
      : await client.createGroup([client.user, ...names].join(", ").slice(0, 60), names);
    $("new-peer").value = "";
    show(id);
  } catch (err) {
    $("new-error").textContent = err.message;
  }
});

function show(id) {
  open = id;
  announced = 0;
  atBottom = true;
  $("chat").classList.add("reading");
  $("composer").disabled = $("send").disabled = false;
  draw();
  $("composer").focus();
}

$("back").addEventListener("click", () => {
  open = null;
  $("chat").classList.remove("reading");
  draw();
});

// ---- writing ----

$("composer-form").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = $("composer").value.trim();
  if (!text || !open) return;
  $("composer").value = "";
  atBottom = true;
  client.send(open, text);
});

$("composer").addEventListener("keydown", (e) => {
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing) {
    e.preventDefault();
    $("composer-form").requestSubmit();
  }
});

$("messages").addEventListener("scroll", () => {
  const list = $("messages");
  atBottom = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  if (atBottom) draw(); // what was just scrolled to is read
  if (list.scrollTop < 80 && open) client.older(client.conversation(open));
});

document.addEventListener("visibilitychange", draw);

// ---- drawing ----

// draw redraws once for all that changed since the last frame. A hidden tab
// draws too: its title shows the count.
function draw() {
  if (drawing || !client) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    if (client) drawAll();
  }, 16);
}

function drawAll() {
  $("status").textContent = client.status;
  $("status").dataset.state = client.status;
  drawList();
  const c = open && client.conversations.get(open);
  if (open && (!c || c.left)) {
    open = null;
    $("chat").classList.remove("reading");
    $("composer").disabled = $("send").disabled = true;
  }
  if (open && c && atBottom && document.visibilityState === "visible") client.markRead(c);
  $("title").textContent = open ? c.title ?? "" : "";
  drawMessages(open ? c : null);
  const unread = [...client.conversations.values()].reduce((n, k) => n + (k.listed ? client.unread(k) : 0), 0);
  document.title = `${unread ? `(${unread}) ` : ""}${client.user} – Parley`;
}

function drawList() {
  const list = [...client.conversations.values()].filter((c) => c.listed).sort((a, b) => (b.changed ?? 0) - (a.changed ?? 0));
  if (list.length === 0) {
    listShown = "";
    $("conversations").replaceChildren(element("li", "empty", "No conversations yet. Name somebody who has logged in."));
    return;
  }
  const shown = JSON.stringify(list.map((c) => [c.id, c.title, c.changed, client.unread(c), preview(c), c.id === open]));
  if (shown === listShown) return; // drawing anew would take the focus away
  listShown = shown;
  const focused = document.activeElement?.closest("#conversations li")?.dataset.id;
  $("conversations").replaceChildren(...list.map((c) => {
    const item = element("li");
    item.dataset.id = c.id;
    if (c.id === open) item.setAttribute("aria-current", "true");
    const button = element("button");
    button.type = "button";
    button.onclick = () => show(c.id);
    button.append(element("span", "name", c.title), element("span", "time", clock(c.changed)), element("span", "preview", preview(c)));
    const unread = client.unread(c);
    if (unread > 0) {
      const n = element("span", "unread", String(unread));
      n.setAttribute("aria-label", `${unread} unread`);
      button.append(n);
    }
    item.append(button);
    return item;
  }));
  if (focused) [...$("conversations").children].find((li) => li.dataset.id === focused)?.firstChild.focus();
}

function preview(c) {
  const m = c.messages.get(c.last);
  if (!m) return "";
  return m.kind === "KIND_SYSTEM" ? told(m) : m.from === client.user ? `You: ${m.text ?? ""}` : m.text ?? "";
}

function drawMessages(c) {
  const list = $("messages");
  if (!c) {
    messagesShown = "";
    list.replaceChildren();
    return;
  }
  const before = list.scrollHeight - list.scrollTop;
  const rows = [];
  let day = "";
  const seqs = [...c.messages.keys()].filter((s) => s >= c.from && s <= c.to).sort((a, b) => a - b);
  for (const seq of seqs) {
    const m = c.messages.get(seq);
    const d = new Date(Number(m.at) / 1000).toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
    if (d !== day) rows.push(element("li", "day", (day = d)));
    rows.push(bubble(c, m, seq));
  }
  const box = client.outbox.boxes[c.id];
  for (const d of box?.failed ?? []) rows.push(failed(c, d));
  for (const d of box?.drafts ?? []) rows.push(waiting(d));
  const shown = rows.map((r) => r.outerHTML).join("");
  if (shown === messagesShown) return; // drawing anew would take a selection away
  messagesShown = shown;
  list.replaceChildren(...rows);
  list.scrollTop = atBottom ? list.scrollHeight : list.scrollHeight - before;
  announce(c);
}

function bubble(c, m, seq) {
  if (m.kind === "KIND_SYSTEM") return element("li", "system", told(m));
  const mine = m.from === client.user;
  const li = element("li", mine ? "mine" : "");
  li.dataset.seq = seq;
  if (!mine && c.kind === "CONVERSATION_GROUP") li.append(element("span", "from", m.from || "somebody who is gone"));
  li.append(m.kind === "KIND_TEXT" ? m.text ?? "" : "(cannot be shown here)");
  const foot = element("span", "foot", clock(m.at));
  if (mine) foot.append(" ", ticks(c, seq));
  li.append(foot);
  return li;
}

// ticks shows how far a message has come: sent, delivered to all others, read by
// all others. In a group of which not all is known it stays at sent.
function ticks(c, seq) {
  const others = [...c.marks.entries()].filter(([user]) => user !== client.user).map(([, m]) => m);
  const all = (what) => others.length > 0 && c.kind === "CONVERSATION_DIRECT" && others.every((m) => m[what] >= seq);
  const state = all("read") ? "read" : all("delivered") ? "delivered" : "sent";
  const t = element("span", `ticks ${state}`, state === "sent" ? "✓" : "✓✓");
  t.setAttribute("aria-label", state);
  return t;
}

function waiting(d) {
  const li = element("li", "mine waiting", d.text);
  const foot = element("span", "foot", "◷");
  foot.setAttribute("aria-label", "waiting to be sent");
  li.append(foot);
  return li;
}

function failed(c, d) {
  const li = element("li", "mine failed", d.text);
  li.append(element("span", "why", `Not sent: ${d.reason}`));
  const again = element("button", "", "Send again");
  again.onclick = () => {
    client.outbox.forget(c.id, d.at);
    client.send(c.id, d.text);
  };
  li.append(again);
  return li;
}

function told(m) {
  const e = m.event ?? {};
  const users = (e.users ?? []).join(", ");
  switch (e.type) {
    case "EVENT_CREATED": return `${m.from} made this group`;
    case "EVENT_ADDED": return `${m.from} added ${users}`;
    case "EVENT_REMOVED": return `${m.from} removed ${users}`;
    case "EVENT_LEFT": return `${m.from} left`;
    case "EVENT_ROLE": return `${m.from} made ${users} ${(e.role ?? "").replace("ROLE_", "").toLowerCase()}`;
  }
  return "something changed";
}

// announce reads a new message out to those who listen.
function announce(c) {
  const m = c.messages.get(c.to);
  if (announced > 0 && c.to > announced && m && m.from !== client.user && m.kind === "KIND_TEXT") {
    $("heard").textContent = `${m.from}: ${m.text ?? ""}`;
  }
  announced = c.to;
}

function clock(micros) {
  return micros ? new Date(Number(micros) / 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" }) : "";
}

function element(name, kind = "", text = "") {
  const e = document.createElement(name);
  if (kind) e.className = kind;
  if (text) e.textContent = text;
  return e;
}

const kept = session.getItem("parley.token");
if (kept) logIn(kept);
