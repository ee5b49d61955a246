import { useState } from "preact/hooks";
import type { ConversationId, Failure } from "@parleychat/client";
import { Dialog } from "./Dialog.tsx";
import { bytesOf } from "./format.ts";
import { useLive } from "./live.ts";
import { PeoplePicker } from "./PeoplePicker.tsx";
import { explain } from "./Toasts.tsx";

export const titleMax = 200; // bytes, as docs/PROTOCOL.md says

/** NewGroupDialog makes a group: its name, and who belongs from the start. */
export function NewGroupDialog({ close, go }: { close: () => void; go: (id: ConversationId) => void }) {
  const live = useLive();
  const [title, setTitle] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);

  async function make(e: Event) {
    e.preventDefault();
    const name = title.trim();
    if (!name || busy) return;
    if (bytesOf(name) > titleMax) return setError("The name is too long.");
    setBusy(true);
    setError("");
    try {
      go((await live.client.createGroup(name, chosen)).id);
    } catch (e) {
      setError((e as Failure).code === "unknown_user" ? "One of these people has never been here. Take out who is not known." : explain(e as Failure));
      setBusy(false);
    }
  }

  return (
    <Dialog title="New group" close={close} tall footer={
      <>
        <button class="button plain" type="button" onClick={close}>Cancel</button>
        <button class="button primary" form="new-group" disabled={!title.trim() || busy}>{busy ? "Making it…" : "Make the group"}</button>
      </>
    }>
      <form id="new-group" class="field-stack" onSubmit={make}>
        <label class="field"><span>Name of the group</span><input class="input" data-first autocomplete="off" dir="auto" value={title} onInput={(e) => { setTitle(e.currentTarget.value); setError(""); }} /></label>
        <p class="error-text" role="alert">{error}</p>
        <PeoplePicker chosen={chosen} choose={setChosen} />
      </form>
    </Dialog>
  );
}
