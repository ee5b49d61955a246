import { useEffect, useRef, useState } from "preact/hooks";
import type { Conversation } from "@parleychat/client";
import { bytesOf } from "./format.ts";
import { Icon } from "./Icon.tsx";
import { useLive } from "./live.ts";
import { titleMax } from "./NewGroupDialog.tsx";
import { attempt, toast } from "./Toasts.tsx";

/** GroupTitle shows a group's name; admins change it here. */
export function GroupTitle({ conversation: c, may }: { conversation: Conversation; may: boolean }) {
  const live = useLive();
  const [text, setText] = useState<string | null>(null);
  const pencil = useRef<HTMLButtonElement>(null);
  const begun = useRef(false);
  useEffect(() => { // the focus goes back where it came from
    if (text === null && begun.current) pencil.current?.focus();
    begun.current = text !== null;
  }, [text === null]);
  if (text === null) {
    return (
      <h3 dir="auto">
        {c.title || "Group"}
        {may && <button ref={pencil} class="icon-button rename" aria-label="Rename the group" onClick={() => setText(c.title)}><Icon name="pencil" /></button>}
      </h3>
    );
  }
  function save(e: Event) {
    e.preventDefault();
    const title = text!.trim();
    if (bytesOf(title) > titleMax) return toast("The name is too long.");
    setText(null);
    if (title && title !== c.title) void attempt(live.client.rename(c.id, title));
  }
  return (
    <form class="rename-form" onSubmit={save} onKeyDown={(e) => { if (e.key === "Escape") { e.preventDefault(); e.stopPropagation(); setText(null); } }}>
      <input class="input" aria-label="Name of the group" dir="auto" autocomplete="off" ref={(i) => { if (i && document.activeElement !== i && !i.dataset.begun) { i.dataset.begun = "yes"; i.focus(); } }} value={text} onInput={(e) => setText(e.currentTarget.value)} />
      <button class="icon-button" aria-label="Save the name"><Icon name="check" /></button>
    </form>
  );
}
