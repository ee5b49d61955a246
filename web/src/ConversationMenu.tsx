import type { Conversation } from "@parleychat/client";
import { useLive } from "./live.ts";
import { Menu, MenuItem } from "./Menu.tsx";
import { mutedNow, muteFor } from "./mute.ts";
import { attempt } from "./Toasts.tsx";

/** ConversationMenu is what one may do with a conversation as a whole. */
export function ConversationMenu({ conversation: c, details }: { conversation: Conversation; details: () => void }) {
  const live = useLive();
  return (
    <Menu label="Conversation menu">
      {(close) => (
        <>
          <MenuItem icon={c.kind === "group" ? "people" : "person"} act={() => { close(); details(); }}>{c.kind === "group" ? "Group details" : "Contact details"}</MenuItem>
          {mutedNow(c)
            ? <MenuItem icon="bell" act={() => { close(); attempt(live.client.mute(c.id, null)); }}>Unmute</MenuItem>
            : <MenuItem icon="muted" act={() => { close(); attempt(live.client.mute(c.id, muteFor("always"))); }}>Mute</MenuItem>}
          <MenuItem icon="envelope" act={() => { close(); attempt(live.client.markUnread(c.id, !c.markedUnread)); }}>{c.markedUnread ? "Mark as read" : "Mark as unread"}</MenuItem>
        </>
      )}
    </Menu>
  );
}
