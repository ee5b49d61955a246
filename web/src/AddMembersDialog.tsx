import { useState } from "preact/hooks";
import type { Conversation, Failure } from "@parleychat/client";
import { Dialog } from "./Dialog.tsx";
import { useLive } from "./live.ts";
import { PeoplePicker } from "./PeoplePicker.tsx";
import { explain } from "./Toasts.tsx";

/** AddMembersDialog adds people to a group. */
export function AddMembersDialog({ conversation: c, close }: { conversation: Conversation; close: () => void }) {
  const live = useLive();
  const [chosen, setChosen] = useState<string[]>([]);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);

  async function add() {
    setBusy(true);
    setError("");
    try {
      await live.client.addMembers(c.id, chosen);
      close();
    } catch (e) {
      setError((e as Failure).code === "unknown_user" ? "One of these people has never been here. Take out who is not known." : explain(e as Failure));
      setBusy(false);
    }
  }

  return (
    <Dialog title="Add people" close={close} tall footer={
      <>
        <button class="button plain" onClick={close}>Cancel</button>
        <button class="button primary" disabled={chosen.length === 0 || busy} onClick={add}>Add{chosen.length > 0 && ` ${chosen.length}`}</button>
      </>
    }>
      <p class="error-text" role="alert">{error}</p>
      <PeoplePicker chosen={chosen} choose={setChosen} without={new Set((c.members ?? []).map((m) => m.user))} first />
    </Dialog>
  );
}
