import { useLayoutEffect } from "preact/hooks";
import type { Conversation } from "@parleychat/client";
import { typingText } from "./ChatBar.tsx";
import { useLive } from "./live.ts";

/** TypingLine stands under the messages while somebody writes. */
export function TypingLine({ conversation: c, grown }: { conversation: Conversation; grown: () => void }) {
  const live = useLive(`typing ${c.id}`);
  const typing = live.typing(c.id);
  useLayoutEffect(() => { if (typing.length > 0) grown(); }, [typing.length > 0]);
  if (typing.length === 0) return null;
  return (
    <div class="typing-line" aria-hidden="true">
      <span class="dots"><i /><i /><i /></span>
      {c.kind === "group" && <span class="one-line">{typingText(c, typing, live)}</span>}
    </div>
  );
}
