import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { ConversationId } from "@parleychat/client";
import { ChatBar } from "./ChatBar.tsx";
import { Composer } from "./Composer.tsx";
import { covered } from "./device.ts";
import { useLive } from "./live.ts";
import { MessageList } from "./MessageList.tsx";
import { firstUnread, Timeline } from "./timeline.ts";

interface Props {
  id: ConversationId;
  back: () => void;
  details: boolean;
  setDetails: (on: boolean) => void;
}

/** Chat is the open conversation: its head, its messages, and where to write. */
export function Chat({ id, back, details, setDetails }: Props) {
  const live = useLive(id, "connection", "people", "outbox", "minute");
  const conversation = live.client.conversation(id)!;
  const [, redraw] = useState(0);
  const [timeline, setTimeline] = useState<Timeline | null>(null);
  const [unread, setUnread] = useState<number | undefined>(undefined);
  const list = useRef<MessageList>(null);

  useEffect(() => {
    const t = new Timeline(live.client, id, () => redraw((n) => n + 1));
    const c = live.client.conversation(id);
    const start = firstUnread(c);
    setUnread(start);
    setTimeline(t);
    void t.open(start !== undefined && c!.unread > 15 ? start : undefined);
    return () => t.close();
  }, [live, id]);

  // Who belongs, and how far each has read: for names and ticks in a group.
  const group = conversation.kind === "group" && !conversation.left;
  const online = live.client.connection.status === "online";
  useEffect(() => { if (group && online) live.client.members(id).catch(() => undefined); }, [live, id, group, online]);

  // What comes while nobody looks is marked as new, once.
  useEffect(() => live.client.on("messages", (e) => {
    const first = e.items.find((i) => i.type === "message" && !i.own && i.kind !== "system");
    if (e.id === id && document.hidden && first?.type === "message") setUnread((u) => (u !== undefined && live.client.conversation(id)!.unread > e.items.length ? u : first.seq));
  }), [live, id]);

  const seen = useCallback((seq: number) => {
    const c = live.client.conversation(id);
    if (c && !document.hidden && !(details && covered()) && seq > c.read) void live.client.markRead(id, seq).catch(() => undefined);
  }, [live, id, details]);

  // To open it takes the mark away that it is unread; one made while it is open stays.
  const marked = useRef(conversation.markedUnread);
  useEffect(() => {
    if (!marked.current || !online) return;
    live.client.markUnread(id, false).then(() => { marked.current = false; }, () => undefined);
  }, [live, id, online]);

  const sent = useCallback(() => {
    setUnread(undefined);
    list.current?.toNewest();
  }, []);

  return (
    <main class="pane chat" aria-label={live.face(conversation).name}>
      <ChatBar conversation={conversation} back={back} details={details} setDetails={setDetails} />
      <div class="scroll">
        {timeline && (
          <MessageList
            self={list} live={live} conversation={conversation} timeline={timeline} items={timeline.items}
            drafts={timeline.after ? none : live.client.drafts(id)} unread={unread} seen={seen}
          />
        )}
      </div>
      {conversation.left
        ? <div class="composer closed">You no longer belong to this group.</div>
        : <Composer live={live} id={id} sent={sent} />}
    </main>
  );
}

const none: readonly never[] = [];
