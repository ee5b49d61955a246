import { useEffect, useState } from "preact/hooks";
import type { Audience, Failure, Profile } from "@parleychat/client";
import { Avatar } from "./Avatar.tsx";
import { Dialog } from "./Dialog.tsx";
import { bytesOf } from "./format.ts";
import { picture as pictureOf } from "./links.ts";
import { useLive } from "./live.ts";
import { explain } from "./Toasts.tsx";

const audiences: Record<Audience, string> = { shared: "People I share a conversation with", everybody: "Everybody", nobody: "Nobody" };

/** ProfileDialog is what the user shows of himself. */
export function ProfileDialog({ close }: { close: () => void }) {
  const live = useLive();
  const me = live.client.user;
  const [own, setOwn] = useState<Profile | null>(null);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);

  useEffect(() => {
    live.client.profiles([me]).then(
      ([p]) => setOwn(p ?? { user: me, name: "", picture: "", lastSeenTo: "shared" }),
      (e: Failure) => setError(explain(e)),
    );
  }, [live]);

  async function save(e: Event) {
    e.preventDefault();
    if (!own || busy) return;
    const name = own.name.trim();
    const picture = own.picture.trim();
    if (bytesOf(name) > 100) return setError("The name is too long.");
    if (picture && (bytesOf(picture) > 512 || !pictureOf(picture))) return setError("The picture must be an https address of at most 512 characters.");
    setBusy(true);
    try {
      await live.client.setProfile({ name, picture, ...(own.lastSeenTo ? { lastSeenTo: own.lastSeenTo } : {}) });
      close();
    } catch (e) {
      setError(explain(e as Failure));
      setBusy(false);
    }
  }

  const change = (c: Partial<Profile>) => { setOwn({ ...own!, ...c }); setError(""); };
  return (
    <Dialog title="Your profile" close={close} footer={
      <>
        <button class="button plain" type="button" onClick={close}>Cancel</button>
        <button class="button primary" form="own-profile" disabled={!own || busy}>Save</button>
      </>
    }>
      <form id="own-profile" class="field-stack" onSubmit={save}>
        <div class="profile-face"><Avatar id={me} name={own?.name || me} picture={own?.picture} size="huge" /><p>{me}</p></div>
        <label class="field"><span>Name</span><input class="input" data-first disabled={!own} autocomplete="name" dir="auto" placeholder={me} value={own?.name ?? ""} onInput={(e) => change({ name: e.currentTarget.value })} /></label>
        <label class="field"><span>Picture</span><input class="input" disabled={!own} type="text" inputMode="url" autocomplete="off" spellcheck={false} placeholder="https://…" value={own?.picture ?? ""} onInput={(e) => change({ picture: e.currentTarget.value })} /><small>The address of an image. Whoever sees you loads it from there.</small></label>
        <fieldset class="choices" disabled={!own}>
          <legend>Who may see when you are here</legend>
          {(Object.keys(audiences) as Audience[]).map((a) => (
            <label key={a}><input type="radio" name="audience" checked={(own?.lastSeenTo ?? "shared") === a} onChange={() => change({ lastSeenTo: a })} />{audiences[a]}</label>
          ))}
        </fieldset>
        <p class="error-text" role="alert">{error}</p>
      </form>
    </Dialog>
  );
}
