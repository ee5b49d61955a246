import { useEffect, useState } from "preact/hooks";
import type { ConversationId, Message } from "@parleychat/client";
import { mutedNow } from "./mute.ts";
import { notify } from "./notifications.ts";
import { summary } from "./summary.ts";
import { useLive } from "./live.ts";

/**
 * Announcer tells of new messages where they are not seen: screen readers hear
 * those of the open conversation, the page's title counts what is unread, and the
 * desktop shows a notification if that was asked for and the page is hidden.
 */
export function Announcer({ open }: { open: ConversationId | null }) {
  const live = useLive("list");
  const [said, say] = useState("");
  const unread = live.client.conversations().reduce((n, c) => n + (mutedNow(c) || c.left ? 0 : c.unread || Number(c.markedUnread)), 0);

  useEffect(() => { document.title = unread ? `(${unread}) Parley` : "Parley"; }, [unread]);

  useEffect(() => live.client.on("messages", (e) => {
    const fresh = e.items.filter((i): i is Message => i.type === "message" && !i.own && i.kind !== "system");
    const last = fresh[fresh.length - 1];
    const c = live.client.conversation(e.id);
    if (!last || !c || live.client.connection.status !== "online") return;
    const line = `${live.name(last.from)}: ${summary(last, live)}`;
    if (e.id === open && !document.hidden) say(fresh.length > 1 ? `${fresh.length} new messages. ${line}` : line);
    if (document.hidden && live.client.leader && !mutedNow(c)) notify(live.face(c), line, e.id);
  }), [live, open]);

  return <div class="hidden-text" role="log" aria-live="polite" aria-label="New messages">{said}</div>;
}
