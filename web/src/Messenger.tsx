import { useEffect, useRef, useState } from "preact/hooks";
import type { ConversationId } from "@parleychat/client";
import { Announcer } from "./Announcer.tsx";
import { Banner } from "./Banner.tsx";
import { Chat } from "./Chat.tsx";
import { ConversationList } from "./ConversationList.tsx";
import { Details } from "./Details.tsx";
import { DevicesDialog } from "./DevicesDialog.tsx";
import icon from "./icon.svg";
import { useLive } from "./live.ts";
import { LogoutDialog } from "./LogoutDialog.tsx";
import type { Login } from "./login.ts";
import { NewChatDialog } from "./NewChatDialog.tsx";
import { NewGroupDialog } from "./NewGroupDialog.tsx";
import { ProfileDialog } from "./ProfileDialog.tsx";
import { useRoute } from "./route.ts";
import { Toasts } from "./Toasts.tsx";

export type DialogName = "chat" | "group" | "profile" | "devices" | "logout";

/** Messenger is the list, the open conversation, and its details. */
export function Messenger({ login, leave }: { login: Login; leave: () => void }) {
  const live = useLive("list");
  const { open, go, details, setDetails } = useRoute();
  const [dialog, setDialog] = useState<DialogName | null>(null);
  const search = useRef<HTMLInputElement>(null);
  const conversation = open ? live.client.conversation(open) : undefined;

  useEffect(() => { live.client.watch(open ? [open] : []); }, [live, open]);

  // A conversation that is gone is closed, once the list is known.
  const online = live.client.connection.status === "online";
  useEffect(() => { if (open && !conversation && online) go(null); }, [open, !conversation, online]);

  const close = () => go(null);
  const keys = (e: KeyboardEvent) => {
    if (document.querySelector("dialog[open]")) return; // the keys are its own
    if ((e.ctrlKey || e.metaKey) && !e.shiftKey && e.key.toLowerCase() === "k") {
      e.preventDefault();
      search.current?.focus();
      search.current?.select();
    } else if (e.altKey && (e.key === "ArrowDown" || e.key === "ArrowUp")) {
      e.preventDefault();
      const next = neighbour(live.list().map((c) => c.id), open, e.key === "ArrowDown" ? 1 : -1);
      if (next) go(next);
    } else if (e.key === "Escape" && !e.defaultPrevented) {
      if (details) setDetails(false);
      else if (open) close();
    }
  };
  useEffect(() => {
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  });

  const begin = (id: ConversationId) => { setDialog(null); go(id); };
  return (
    <div class="app">
      <Banner />
      <div class={`panes ${open ? "reading" : ""} ${open && details ? "with-details" : ""}`}>
        <ConversationList open={open} go={go} search={search} show={setDialog} login={login} />
        {open && conversation
          ? <Chat key={open} id={open} back={close} details={details} setDetails={setDetails} />
          : <main class="pane chat">{!open && <NothingOpen />}</main>}
        {open && conversation && details && <Details key={`details ${open}`} id={open} close={() => setDetails(false)} go={begin} left={close} />}
      </div>
      <Announcer open={open} />
      <Toasts />
      {dialog === "chat" && <NewChatDialog close={() => setDialog(null)} go={begin} group={() => setDialog("group")} />}
      {dialog === "group" && <NewGroupDialog close={() => setDialog(null)} go={begin} />}
      {dialog === "profile" && <ProfileDialog close={() => setDialog(null)} />}
      {dialog === "devices" && <DevicesDialog close={() => setDialog(null)} />}
      {dialog === "logout" && <LogoutDialog close={() => setDialog(null)} leave={leave} />}
    </div>
  );
}

function neighbour(ids: ConversationId[], open: ConversationId | null, step: 1 | -1): ConversationId | undefined {
  const at = open ? ids.indexOf(open) : step > 0 ? -1 : ids.length;
  return ids[Math.min(ids.length - 1, Math.max(0, at + step))];
}

function NothingOpen() {
  return (
    <div class="empty nothing-open">
      <img src={icon} alt="" />
      <h2>Your conversations</h2>
      <p>Choose one at the left, or begin a new one.</p>
      <p class="hint"><kbd>Ctrl</kbd> <kbd>K</kbd> searches · <kbd>Alt</kbd> <kbd>↓</kbd> goes to the next</p>
    </div>
  );
}
