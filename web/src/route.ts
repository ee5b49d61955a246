import { useEffect, useState } from "preact/hooks";
import type { ConversationId } from "@parleychat/client";
import { phone } from "./device.ts";

// The open conversation stands in the address (#id), so that a reload shows it
// again, and the browser's and the phone's way back closes it. On a phone, where the
// details cover the conversation, the way back closes them first.

/** Entry is what the browser's history keeps of a place: what was opened to come there. */
interface Entry {
  readonly opened?: boolean;
  readonly details?: boolean;
}

interface Route {
  open: ConversationId | null;
  go: (id: ConversationId | null) => void;
  details: boolean;
  setDetails: (on: boolean) => void;
}

const here = (): ConversationId | null => /^#([0-9a-f]{32})$/.exec(location.hash)?.[1] ?? null;
const entry = (): Entry => (history.state as Entry | null) ?? {};
const detailsHere = () => here() !== null && !!entry().details;

export function useRoute(): Route {
  const [open, setOpen] = useState(here);
  const [details, showDetails] = useState(() => phone() && detailsHere());
  useEffect(() => {
    const follow = () => {
      setOpen(here());
      if (phone()) showDetails(detailsHere());
    };
    addEventListener("popstate", follow);
    addEventListener("hashchange", follow);
    return () => { removeEventListener("popstate", follow); removeEventListener("hashchange", follow); };
  }, []);

  const go = (id: ConversationId | null) => {
    if (id === here()) return;
    const now = entry();
    if (id === null || phone()) showDetails(false);
    if (id === null) {
      if (now.opened) return history.go(now.details ? -2 : -1);
      history.replaceState(null, "", location.pathname);
    } else if (here() === null) {
      history.pushState({ opened: true } satisfies Entry, "", `#${id}`);
    } else {
      history.replaceState({ ...now, details: false } satisfies Entry, "", `#${id}`);
    }
    setOpen(id);
  };

  const setDetails = (on: boolean) => {
    if (on === details) return;
    if (on && phone()) history.pushState({ ...entry(), details: true } satisfies Entry, "");
    if (!on && entry().details) history.back();
    showDetails(on);
  };

  return { open, go, details, setDetails };
}
