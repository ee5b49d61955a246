import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Conversation, ConversationId } from "@parleychat/client";
import { Avatar } from "./Avatar.tsx";
import { ConversationRow } from "./ConversationRow.tsx";
import { Icon } from "./Icon.tsx";
import { useLive, type Live } from "./live.ts";
import type { Login } from "./login.ts";
import { MainMenu } from "./MainMenu.tsx";
import type { DialogName } from "./Messenger.tsx";

const height = 72; // of a row; the style sheet has the same
const beyond = 6; // rows drawn above and below what is in sight

interface Props {
  open: ConversationId | null;
  go: (id: ConversationId | null) => void;
  search: RefObject<HTMLInputElement | null>;
  show: (dialog: DialogName) => void;
  login: Login;
}

/** ConversationList is the pane of all conversations, the newest first. */
export function ConversationList({ open, go, search, show, login }: Props) {
  const live = useLive("list", "connection", "people");
  const [sought, setSought] = useState("");
  const all = live.list();
  const rows = useMemo(() => filter(all, sought, live), [all, sought, live]);
  const me = live.person(live.client.user);
  const loading = all.length === 0 && live.client.connection.status !== "online";
  return (
    <nav class="pane list" aria-label="Conversations">
      <div class="bar">
        <button class="own-profile" aria-label="Your profile" onClick={() => show("profile")}>
          <Avatar id={me.user} name={me.name} picture={me.picture} size="medium" />
        </button>
        <h1 class="grow one-line">Chats</h1>
        <div class="actions">
          <button class="icon-button" aria-label="New conversation" onClick={() => show("chat")}><Icon name="pencil" /></button>
          <MainMenu show={show} login={login} />
        </div>
      </div>
      <div class="search" role="search">
        <Icon name="search" />
        <input
          ref={search} type="search" placeholder="Search" aria-label="Search conversations" autocomplete="off" dir="auto" value={sought}
          onInput={(e) => setSought(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key === "Escape" && sought) { e.preventDefault(); setSought(""); }
            if (e.key === "Enter" && rows[0]) { go(rows[0].id); setSought(""); }
            if (e.key === "ArrowDown") { e.preventDefault(); document.querySelector<HTMLElement>(".conversation")?.focus(); }
          }}
        />
        {sought && <button class="icon-button" aria-label="Clear the search" onClick={() => { setSought(""); search.current?.focus(); }}><Icon name="close" /></button>}
      </div>
      {loading ? <Skeleton /> : rows.length === 0 ? <Nothing sought={sought} show={show} /> : <Rows rows={rows} open={open} go={go} live={live} />}
    </nav>
  );
}

function filter(all: readonly Conversation[], sought: string, live: Live): readonly Conversation[] {
  const words = sought.trim().toLocaleLowerCase();
  if (!words) return all;
  return all.filter((c) => {
    const face = live.face(c);
    return face.name.toLocaleLowerCase().includes(words) || face.id.toLocaleLowerCase().includes(words);
  });
}

interface RowsProps {
  rows: readonly Conversation[];
  open: ConversationId | null;
  go: (id: ConversationId) => void;
  live: Live;
}

/** Rows draws those in sight. Arrow keys move the focus, Enter opens. */
function Rows({ rows, open, go, live }: RowsProps) {
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [room, setRoom] = useState(900);
  const focusNext = useRef<ConversationId | null>(null);
  const [held, setHeld] = useState<ConversationId | null>(null); // has the focus, or gets it by Tab

  useLayoutEffect(() => {
    const watch = new ResizeObserver(() => setRoom(box.current!.clientHeight));
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);

  const from = Math.max(0, Math.floor(top / height) - beyond);
  const to = Math.min(rows.length, Math.ceil((top + room) / height) + beyond);
  const visible = rows.slice(from, to);
  const stop = [held, open].find((id) => id && visible.some((c) => c.id === id)) ?? visible[Math.min(visible.length - 1, from ? beyond : 0)]?.id;

  const wanted = visible.filter((c) => !c.preview && c.last > 0).map((c) => c.id);
  useEffect(() => {
    if (wanted.length === 0) return;
    const t = setTimeout(() => live.client.previews(wanted), 80); // not while it flies by
    return () => clearTimeout(t);
  }, [wanted.join()]);

  // Whether they are here is told of the members of what is open; of the others it is asked.
  const peers = visible.flatMap((c) => c.peer?.user ?? []).sort();
  const online = live.client.connection.status === "online";
  useEffect(() => {
    if (peers.length === 0 || !online) return;
    const ask = () => { if (!document.hidden) void live.askPresences(peers); };
    const soon = setTimeout(ask, 80);
    const again = setInterval(ask, 60_000);
    return () => { clearTimeout(soon); clearInterval(again); };
  }, [peers.join("\n"), online]);

  // What is opened comes into sight; what is closed gives the focus back to its row.
  const before = useRef<ConversationId | null>(null);
  useLayoutEffect(() => {
    if (open) reveal(rows.findIndex((c) => c.id === open));
    else if (document.activeElement === document.body) focusNext.current = before.current;
    before.current = open;
  }, [open]);

  useLayoutEffect(() => {
    if (!focusNext.current) return;
    const row = box.current!.querySelector<HTMLElement>(`[data-id="${focusNext.current}"]`);
    if (row) { focusNext.current = null; row.focus(); }
  });

  function move(e: KeyboardEvent) {
    const id = (document.activeElement as HTMLElement | null)?.dataset.id;
    const at = rows.findIndex((c) => c.id === id);
    const next = e.key === "ArrowDown" ? at + 1 : e.key === "ArrowUp" ? at - 1 : e.key === "Home" ? 0 : e.key === "End" ? rows.length - 1
      : e.key === "PageDown" ? at + Math.floor(room / height) : e.key === "PageUp" ? at - Math.floor(room / height) : null;
    if (at < 0 || next === null || e.altKey) return;
    e.preventDefault();
    const n = Math.max(0, Math.min(rows.length - 1, next));
    focusNext.current = rows[n]!.id;
    setHeld(rows[n]!.id);
    reveal(n);
  }

  function reveal(n: number) {
    const b = box.current!;
    const room = b.clientHeight;
    if (n < 0 || room === 0) return;
    if (n * height < b.scrollTop) b.scrollTop = n * height;
    else if ((n + 1) * height > b.scrollTop + room) b.scrollTop = (n + 1) * height - room;
    setTop(b.scrollTop);
  }

  return (
    <div class="rows" ref={box} onScroll={(e) => setTop(e.currentTarget.scrollTop)} onKeyDown={move}>
      <ul class="space" style={{ height: `${rows.length * height}px` }} role="list">
        {visible.map((c, i) => (
          <li class="row-place" key={c.id} style={{ transform: `translateY(${(from + i) * height}px)` }} aria-setsize={rows.length} aria-posinset={from + i + 1}>
            <ConversationRow conversation={c} current={c.id === open} stop={c.id === stop} go={go} focused={setHeld} />
          </li>
        ))}
      </ul>
    </div>
  );
}

function Skeleton() {
  return (
    <div role="status" aria-label="Loading your conversations">
      {[...Array(9).keys()].map((i) => (
        <div class="skeleton-row" key={i}><div class="skeleton round" /><div class="two"><div class="skeleton" /><div class="skeleton" /></div></div>
      ))}
    </div>
  );
}

function Nothing({ sought, show }: { sought: string; show: (d: DialogName) => void }) {
  if (sought) return <div class="empty"><Icon name="search" /><h2>Nothing found</h2><p>No conversation has “<bdi>{sought}</bdi>” in its name.</p></div>;
  return (
    <div class="empty">
      <Icon name="chat" /><h2>No conversations yet</h2><p>Write to somebody, or make a group.</p>
      <button class="button primary" onClick={() => show("chat")}>New conversation</button>
    </div>
  );
}
