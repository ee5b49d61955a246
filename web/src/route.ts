import { useEffect, useState } from "preact/hooks";
import type { ConversationId } from "@parleychat/client";

// The open conversation stands in the address (#id), so that a reload shows it
// again, and the browser's and the phone's way back closes it.

const here = (): ConversationId | null => /^#([0-9a-f]{32})$/.exec(location.hash)?.[1] ?? null;

export function useRoute(): [ConversationId | null, (id: ConversationId | null) => void] {
  const [open, set] = useState(here);
  useEffect(() => {
    const follow = () => set(here());
    addEventListener("popstate", follow);
    addEventListener("hashchange", follow);
    return () => { removeEventListener("popstate", follow); removeEventListener("hashchange", follow); };
  }, []);
  return [open, (id) => {
    if (id === here()) return;
    if (id === null) {
      if ((history.state as { opened?: boolean } | null)?.opened) return history.back();
      history.replaceState(null, "", location.pathname);
    } else if (here() === null) {
      history.pushState({ opened: true }, "", `#${id}`);
    } else {
      history.replaceState(history.state, "", `#${id}`);
    }
    set(id);
  }];
}
