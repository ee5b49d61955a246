import { Confirm } from "./Dialog.tsx";
import { useLive } from "./live.ts";

/** LogoutDialog asks before this browser forgets what it keeps. */
export function LogoutDialog({ close, leave }: { close: () => void; leave: () => void }) {
  const live = useLive("outbox");
  const waiting = live.client.conversations().reduce((n, c) => n + live.client.drafts(c.id).filter((d) => d.status !== "sent").length, 0);
  const text = waiting === 0
    ? "This browser forgets your conversations. They are on the server when you come back."
    : `${waiting === 1 ? "One message was" : `${waiting} messages were`} not sent yet, and would be lost.`;
  return <Confirm title="Log out?" text={text} action="Log out" close={close} act={leave} />;
}
