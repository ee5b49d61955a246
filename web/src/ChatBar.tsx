import type { Conversation } from "@parleychat/client";
import { Avatar } from "./Avatar.tsx";
import { ConversationMenu } from "./ConversationMenu.tsx";
import { listed, seenTime } from "./format.ts";
import { Icon } from "./Icon.tsx";
import { useLive, type Live } from "./live.ts";

interface Props {
  conversation: Conversation;
  back: () => void;
  details: boolean;
  setDetails: (on: boolean) => void;
}

/** ChatBar names the conversation, and says who is here or writes. */
export function ChatBar({ conversation: c, back, details, setDetails }: Props) {
  const live = useLive("presence", "people", "connection", `typing ${c.id}`, c.id);
  const face = live.face(c);
  const typing = live.typing(c.id);
  const now = typing.length > 0;
  return (
    <header class="bar chat-bar">
      <button class="icon-button back" aria-label="Back to the list" onClick={back}><Icon name="back" /></button>
      <button class="who" aria-expanded={details} onClick={() => setDetails(!details)}>
        <Avatar {...face} size="medium" />
        <span>
          <span class="title one-line" dir="auto" role="heading" aria-level={2}>{face.name}</span>
          <span class={`status one-line ${now ? "now" : ""}`} aria-live="polite">{now ? typingText(c, typing, live) : statusText(c, live)}</span>
        </span>
      </button>
      <ConversationMenu conversation={c} details={() => setDetails(true)} />
    </header>
  );
}

export function typingText(c: Conversation, typing: string[], live: Live): string {
  if (c.kind === "direct") return "typing…";
  const names = typing.map((u) => live.name(u));
  if (names.length > 2) return `${names.length} people are typing…`;
  return `${listed(names)} ${names.length === 1 ? "is" : "are"} typing…`;
}

function statusText(c: Conversation, live: Live): string {
  if (c.kind === "group") {
    if (c.left) return "";
    if (!c.members) return "Group";
    const names = c.members.map((m) => live.name(m.user)).slice(0, 30);
    return [...names, "you"].join(", ");
  }
  const p = live.presence(c.peer?.user ?? "");
  if (!p || p.hidden || live.client.connection.status !== "online") return "";
  if (p.online) return "online";
  return p.lastSeen ? seenTime(p.lastSeen.getTime()) : "";
}
