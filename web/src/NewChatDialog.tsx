import { useMemo, useState } from "preact/hooks";
import type { ConversationId, Failure } from "@parleychat/client";
import { Avatar } from "./Avatar.tsx";
import { Dialog } from "./Dialog.tsx";
import { Icon } from "./Icon.tsx";
import { useLive } from "./live.ts";
import { acquainted, matching } from "./people.ts";
import { explain } from "./Toasts.tsx";

/** NewChatDialog begins a conversation with one person, known or named. */
export function NewChatDialog({ close, go, group }: { close: () => void; go: (id: ConversationId) => void; group: () => void }) {
  const live = useLive("list");
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const known = useMemo(() => acquainted(live), [live, live.client.conversations()]);
  const found = matching(known, text);
  const named = text.trim();
  const other = named !== "" && named !== live.client.user && !found.some((p) => p.user === named);

  async function begin(user: string) {
    if (busy) return;
    setBusy(true);
    setError("");
    try {
      go((await live.client.createDirect(user)).id);
    } catch (e) {
      setError((e as Failure).code === "unknown_user" ? `Nobody called “${user}” has been here yet.` : explain(e as Failure));
      setBusy(false);
    }
  }

  return (
    <Dialog title="New conversation" close={close} tall flush>
      <form class="dialog-search" onSubmit={(e) => { e.preventDefault(); if (other) void begin(named); else if (found[0]) void begin(found[0].user); }}>
        <input class="input" data-first placeholder="Name" aria-label="With whom" autocomplete="off" autocapitalize="none" spellcheck={false} dir="auto" value={text} onInput={(e) => { setText(e.currentTarget.value); setError(""); }} />
        <p class="error-text" role="alert">{error}</p>
      </form>
      <button class="option accent" onClick={group}><Icon name="people" /><span>New group</span></button>
      {other && (
        <button class="option" disabled={busy} onClick={() => begin(named)}>
          <Avatar id={named} name={named} size="medium" /><span class="one-line">Write to <b><bdi>{named}</bdi></b></span>
        </button>
      )}
      <ul>
        {found.map((p) => (
          <li key={p.user}>
            <button class="option" disabled={busy} onClick={() => begin(p.user)}>
              <Avatar id={p.user} name={p.name} picture={p.picture} size="medium" />
              <span class="one-line"><bdi>{p.name}</bdi>{p.name !== p.user && <small class="one-line">{p.user}</small>}</span>
            </button>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
