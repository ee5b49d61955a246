import { useCallback, useEffect, useState } from "preact/hooks";
import type { Device, Failure } from "@parleychat/client";
import { Confirm, Dialog } from "./Dialog.tsx";
import { seenTime } from "./format.ts";
import { Icon } from "./Icon.tsx";
import { useLive } from "./live.ts";
import { attempt, explain } from "./Toasts.tsx";

/** DevicesDialog lists where the user is logged in, and ends a login. */
export function DevicesDialog({ close }: { close: () => void }) {
  const live = useLive();
  const [devices, setDevices] = useState<readonly Device[] | null>(null);
  const [error, setError] = useState("");
  const [revoking, setRevoking] = useState<Device | null>(null);

  const read = useCallback(() => live.client.devices().then(setDevices, (e: Failure) => setError(explain(e))), [live]);
  useEffect(() => { void read(); }, [read]);

  const others = devices?.filter((d) => !d.current) ?? [];
  return (
    <Dialog title="Your devices" close={close} flush>
      {error && <p class="error-text padded" role="alert">{error}</p>}
      {!devices && !error && <div class="padded"><span class="spinner" /></div>}
      <ul>
        {devices?.filter((d) => d.current).map((d) => <DeviceRow key={d.id} device={d} />)}
        {others.map((d) => <DeviceRow key={d.id} device={d} revoke={() => setRevoking(d)} />)}
      </ul>
      {devices && others.length === 0 && <p class="lead padded">You are logged in nowhere else.</p>}
      {revoking && (
        <Confirm title="Log this device out?" text={`${title(revoking)} is logged out at once, and must log in again to come back.`} action="Log out" close={() => setRevoking(null)}
          act={() => void attempt(live.client.revoke(revoking.id)).then(read)} />
      )}
    </Dialog>
  );
}

const title = (d: Device): string => [d.name || (d.id ? "Unnamed device" : "Other clients"), d.platform].filter(Boolean).join(" on ");

function DeviceRow({ device: d, revoke }: { device: Device; revoke?: () => void }) {
  return (
    <li class="person">
      <span class={`device-icon ${d.online ? "online" : ""}`}><Icon name="devices" /></span>
      <span class="text">
        <bdi class="one-line">{title(d)}</bdi>
        <small>{d.current ? "This device" : d.online ? "online" : d.lastSeen ? seenTime(d.lastSeen.getTime()) : ""}</small>
      </span>
      {revoke && d.id && <button class="button danger small" aria-label={`Log out ${title(d)}`} onClick={revoke}>Log out</button>}
    </li>
  );
}
