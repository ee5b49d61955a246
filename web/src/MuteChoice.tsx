import { useState } from "preact/hooks";
import type { Conversation } from "@parleychat/client";
import { Dialog } from "./Dialog.tsx";
import { clockTime, dayTitle } from "./format.ts";
import { Icon } from "./Icon.tsx";
import { useLive } from "./live.ts";
import { mutedForEver, mutedNow, muteFor, muteTimes, type MuteTime } from "./mute.ts";
import { attempt } from "./Toasts.tsx";

/** MuteChoice mutes a conversation for a time, or ends that. */
export function MuteChoice({ conversation: c }: { conversation: Conversation }) {
  const live = useLive();
  const [asking, setAsking] = useState(false);
  const [time, setTime] = useState<MuteTime>("always");
  const until = mutedNow(c);
  return (
    <>
      <button class="option" role="switch" aria-checked={!!until} onClick={() => (until ? attempt(live.client.mute(c.id, null)) : setAsking(true))}>
        <Icon name={until ? "muted" : "bell"} />
        <span>Mute{until && !mutedForEver(until) && <small>until {dayTitle(until.getTime()).toLowerCase()}, {clockTime(until.getTime())}</small>}</span>
        <span class="toggle" />
      </button>
      {asking && (
        <Dialog title="Mute" close={() => setAsking(false)} footer={
          <>
            <button class="button plain" onClick={() => setAsking(false)}>Cancel</button>
            <button class="button primary" data-first onClick={() => { setAsking(false); void attempt(live.client.mute(c.id, muteFor(time))); }}>Mute</button>
          </>
        }>
          <fieldset class="choices">
            <legend>Nobody else sees that it is muted.</legend>
            {(Object.keys(muteTimes) as MuteTime[]).map((t) => (
              <label key={t}><input type="radio" name="mute" checked={t === time} onChange={() => setTime(t)} />{muteTimes[t]}</label>
            ))}
          </fieldset>
        </Dialog>
      )}
    </>
  );
}
