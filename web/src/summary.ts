import type { Kind, Message, SystemEvent, UserId } from "@parleychat/client";
import { listed } from "./format.ts";
import type { Live } from "./live.ts";

const kinds: Record<Kind, string> = {
  text: "", system: "", image: "Photo", video: "Video", audio: "Voice message", document: "Document",
  ciphertext: "Encrypted message", unknown: "A message that this page is too old to show",
};

/** kindTitle names what is inside a message that is not text. */
export const kindTitle = (kind: Kind): string => kinds[kind];

/** summary is a message in a line. */
export function summary(m: Pick<Message, "kind" | "text"> & Partial<Message>, live: Live): string {
  if (m.kind === "system") return eventText(m.from ?? "", m.event, live);
  if (m.kind !== "text") return kinds[m.kind];
  return (m.text ?? "").slice(0, 200).replace(/\s+/gu, " ").trim();
}

const roles = { none: "no member", member: "a member", admin: "an admin", owner: "an owner" };

/** eventText tells what a system message says, with the names that are shown now. */
export function eventText(from: UserId, e: SystemEvent | undefined, live: Live): string {
  const by = live.name(from);
  const me = live.client.user;
  const whom = (users: readonly UserId[]) =>
    users.length > 8 ? `${users.length} people` : listed(users.map((u) => (u === me ? (u === from ? "yourself" : "you") : live.name(u))));
  switch (e?.type) {
    case "created":
      return e.title ? `${by} created the group “${e.title}”` : `${by} began the conversation`;
    case "added": return `${by} added ${whom(e.users)}`;
    case "removed": return `${by} removed ${whom(e.users)}`;
    case "left": return `${by} left`;
    case "renamed": return `${by} named the group “${e.title}”`;
    case "role": return `${by} made ${whom(e.users)} ${roles[e.role]}`;
    default: return "Something has changed that this page is too old to tell";
  }
}
