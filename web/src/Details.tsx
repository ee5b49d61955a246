import { useEffect, useState } from "preact/hooks";
import type { Conversation, ConversationId, Member } from "@parleychat/client";
import { AddMembersDialog } from "./AddMembersDialog.tsx";
import { Avatar } from "./Avatar.tsx";
import { Confirm } from "./Dialog.tsx";
import { seenTime } from "./format.ts";
import { GroupTitle } from "./GroupTitle.tsx";
import { Icon } from "./Icon.tsx";
import { useLive } from "./live.ts";
import { MemberRow } from "./MemberRow.tsx";
import { MuteChoice } from "./MuteChoice.tsx";
import { attempt } from "./Toasts.tsx";

interface Props {
  id: ConversationId;
  close: () => void;
  go: (id: ConversationId) => void;
  left: () => void;
}

/** Details is the third pane: who it is, who belongs, and what one may do. */
export function Details({ id, close, go, left }: Props) {
  const live = useLive(id, "list", "people", "presence", "connection");
  const c = live.client.conversation(id)!;
  const [asking, setAsking] = useState<"add" | "leave" | null>(null);
  const face = live.face(c);
  const group = c.kind === "group";
  const admin = c.role === "admin" || c.role === "owner";
  const members = useMembers(c);
  const presence = live.presence(c.peer?.user ?? "");

  return (
    <aside class="pane details" aria-label={group ? "Group details" : "Contact details"}>
      <div class="bar">
        <button class="icon-button" aria-label="Close the details" onClick={close}><Icon name="close" /></button>
        <h2 class="grow one-line">{group ? "Group" : "Contact"}</h2>
      </div>
      <div class="panel" tabIndex={0} role="region" aria-label="Details">
        <div class="panel-head">
          <Avatar {...face} size="huge" />
          {group ? <GroupTitle conversation={c} may={admin && !c.left} /> : <h3 dir="auto">{face.name}</h3>}
          {group && <p>{members.length === 1 ? "1 member" : members.length > 1 ? `${members.length} members` : "\u00a0"}</p>}
          {!group && face.name !== face.id && <p dir="auto">{face.id}</p>}
          {!group && presence && !presence.hidden && <p>{presence.online ? "online" : presence.lastSeen ? seenTime(presence.lastSeen.getTime()) : ""}</p>}
        </div>
        {!c.left && (
          <div class="section">
            <MuteChoice conversation={c} />
            <button class="option" onClick={() => attempt(live.client.markUnread(id, !c.markedUnread))}>
              <Icon name="envelope" /><span>{c.markedUnread ? "Mark as read" : "Mark as unread"}</span>
            </button>
          </div>
        )}
        {group && !c.left && (
          <div class="section">
            <h3>Members</h3>
            {admin && <button class="option accent" onClick={() => setAsking("add")}><Icon name="add" /><span>Add people</span></button>}
            <ul>{members.map((m) => <MemberRow key={m.user} conversation={c} member={m} go={go} />)}</ul>
          </div>
        )}
        {group && !c.left && (
          <div class="section">
            <button class="option danger" onClick={() => setAsking("leave")}><Icon name="leave" /><span>Leave the group</span></button>
          </div>
        )}
      </div>
      {asking === "add" && <AddMembersDialog conversation={c} close={() => setAsking(null)} />}
      {asking === "leave" && (
        <Confirm title="Leave the group?" text={`You will get no more messages of “${face.name}”. To come back, a member has to add you.`} action="Leave" close={() => setAsking(null)}
          act={() => attempt(live.client.leave(id)).then((done) => { if (done) left(); })} />
      )}
    </aside>
  );
}

const order = { owner: 0, admin: 1, member: 2, none: 3 };

/** useMembers are all who belong, the user himself first, then by role and name. */
function useMembers(c: Conversation): readonly Member[] {
  const live = useLive(c.id);
  const [all, setAll] = useState<readonly Member[]>([]);
  const online = live.client.connection.status === "online";
  useEffect(() => {
    if (c.kind !== "group" || c.left) return;
    let over = false;
    live.client.members(c.id).then((m) => { if (!over) setAll(m); }, () => undefined);
    return () => { over = true; };
  }, [live, c.id, c.left, c.version, online]);
  const me = live.client.user;
  return [...all].sort((a, b) => Number(b.user === me) - Number(a.user === me) || order[a.role] - order[b.role] || a.user.localeCompare(b.user));
}
