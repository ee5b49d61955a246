import type { Conversation, ConversationId } from "@parleychat/client";
import { Avatar } from "./Avatar.tsx";
import { listTime } from "./format.ts";
import { Icon } from "./Icon.tsx";
import { useLive, type Live } from "./live.ts";
import { mutedNow } from "./mute.ts";
import { summary } from "./summary.ts";
import { Ticks } from "./Ticks.tsx";

interface Props {
  conversation: Conversation;
  current: boolean;
  stop: boolean; // Tab stops here
  go: (id: ConversationId) => void;
  focused: (id: ConversationId) => void;
}

/** ConversationRow is a conversation in the list. */
export function ConversationRow({ conversation: c, current, stop, go, focused }: Props) {
  const live = useLive("people", "presence");
  const face = live.face(c);
  const drafts = live.client.drafts(c.id);
  const draft = drafts[drafts.length - 1];
  const at = draft ? draft.createdAt : c.preview?.at ?? c.changed;
  const unread = c.unread > 0 || c.markedUnread;
  const muted = !!mutedNow(c);
  const online = c.kind === "direct" && live.client.connection.status === "online" && !!live.presence(face.id)?.online;
  return (
    <button
      class={`conversation ${unread ? "unread" : ""} ${muted ? "muted" : ""}`} data-id={c.id} tabIndex={stop ? 0 : -1}
      aria-current={current ? "true" : undefined} onClick={() => go(c.id)} onFocus={() => focused(c.id)}
    >
      <Avatar {...face} online={online} />
      <span class="text">
        <span class="line"><span class="name one-line" dir="auto">{face.name}</span><time class="time">{listTime(at.getTime())}</time></span>
        <span class="line">
          <Preview c={c} live={live} current={current} />
          <span class="marks">
            {muted && <><Icon name="muted" /><span class="hidden-text">muted</span></>}
            {c.unread > 0 && <span class={`badge ${muted ? "quiet" : ""}`}>{c.unread > 999 ? "999+" : c.unread}<span class="hidden-text"> unread</span></span>}
            {c.unread === 0 && c.markedUnread && <span class="badge dot"><span class="hidden-text">marked as unread</span></span>}
          </span>
        </span>
      </span>
    </button>
  );
}

function Preview({ c, live, current }: { c: Conversation; live: Live; current: boolean }) {
  const typing = live.typing(c.id);
  if (typing.length > 0) {
    return <span class="preview typing"><span class="one-line">{c.kind === "group" ? `${live.name(typing[0]!)} is typing…` : "typing…"}</span></span>;
  }
  const begun = current ? "" : live.begun(c.id);
  if (begun) return <span class="preview"><span class="draft-word">Draft:</span><bdi class="one-line">{begun.slice(0, 120)}</bdi></span>;
  const drafts = live.client.drafts(c.id);
  const draft = drafts[drafts.length - 1];
  if (draft) {
    const mark = drafts.some((d) => d.status === "failed") ? "failed" : draft.status === "sent" ? "sent" : "queued";
    return <span class="preview"><Ticks mark={mark} /><bdi class="one-line">{summary(draft, live)}</bdi></span>;
  }
  const m = c.preview;
  if (!m) return <span class="preview">{c.last === 0 ? "No messages yet" : "\u00a0"}</span>;
  return (
    <span class="preview">
      {m.own && m.kind !== "system" && <Ticks mark={c.tick(m.seq) ?? "sent"} />}
      {c.kind === "group" && !m.own && m.kind !== "system" && <span class="by one-line"><bdi>{live.name(m.from)}</bdi>:</span>}
      <bdi class="one-line">{summary(m, live)}</bdi>
    </span>
  );
}
