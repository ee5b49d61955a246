import { useState } from "preact/hooks";
import type { Conversation, ConversationId, Member, Role } from "@parleychat/client";
import { Avatar } from "./Avatar.tsx";
import { Confirm } from "./Dialog.tsx";
import { useLive } from "./live.ts";
import { Menu, MenuItem } from "./Menu.tsx";
import { attempt } from "./Toasts.tsx";

const rank: Record<Role, number> = { none: 0, member: 1, admin: 2, owner: 3 };

/** MemberRow is a member of a group, and what the user may do about him. */
export function MemberRow({ conversation: c, member: m, go }: { conversation: Conversation; member: Member; go: (id: ConversationId) => void }) {
  const live = useLive("people", "presence");
  const [removing, setRemoving] = useState(false);
  const me = m.user === live.client.user;
  const p = live.person(m.user);
  const presence = live.presence(m.user);
  const mayRemove = !me && rank[c.role] >= rank.admin && rank[m.role] < rank[c.role];
  const mayRole = !me && c.role === "owner";
  const give = (role: Exclude<Role, "none">) => attempt(live.client.setRole(c.id, m.user, role));

  return (
    <li class="person">
      <Avatar id={m.user} name={p.name} picture={p.picture} size="medium" online={!me && !!presence?.online} />
      <span class="text">
        <bdi class="one-line">{me ? "You" : p.name}</bdi>
        {p.name !== m.user && <small class="one-line" dir="auto">{m.user}</small>}
      </span>
      {m.role !== "member" && <span class="role">{m.role}</span>}
      {!me && (
        <Menu label={`What to do about ${p.name}`}>
          {(close) => (
            <>
              <MenuItem icon="chat" act={() => { close(); void attempt(live.client.createDirect(m.user).then((d) => go(d.id))); }}>Write to {p.name}</MenuItem>
              {mayRole && m.role !== "admin" && <MenuItem icon="key" act={() => { close(); void give("admin"); }}>Make admin</MenuItem>}
              {mayRole && m.role !== "owner" && <MenuItem icon="key" act={() => { close(); void give("owner"); }}>Make owner</MenuItem>}
              {mayRole && m.role !== "member" && <MenuItem icon="person" act={() => { close(); void give("member"); }}>Make plain member</MenuItem>}
              {mayRemove && <MenuItem icon="trash" danger act={() => { close(); setRemoving(true); }}>Remove from the group</MenuItem>}
            </>
          )}
        </Menu>
      )}
      {removing && (
        <Confirm title={`Remove ${p.name}?`} text={`${p.name} will get no more messages of this group.`} action="Remove" close={() => setRemoving(false)}
          act={() => void attempt(live.client.removeMembers(c.id, [m.user]))} />
      )}
    </li>
  );
}
