import { useEffect, useRef, useState } from "preact/hooks";
import { Avatar } from "./Avatar.tsx";
import icon from "./icon.svg";
import { demoToken, demoUsers, NoDemo, Refused, subjectOf, type Login } from "./login.ts";

/** LoginScreen asks who it is: a name, where the server runs with --dev; a token elsewhere. */
export function LoginScreen({ enter }: { enter: (login: Login) => void }) {
  const [names, setNames] = useState<readonly string[] | null>(null); // that are offered; null until that is known
  const [demo, setDemo] = useState(true);
  const [byToken, setByToken] = useState(false);
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement & HTMLTextAreaElement>(null);

  useEffect(() => { document.title = "Parley"; }, []);
  useEffect(() => {
    demoUsers().then(setNames, (e) => {
      setNames([]);
      setDemo(!(e instanceof NoDemo));
      setByToken(e instanceof NoDemo);
    });
  }, []);
  useEffect(() => { field.current?.focus(); }, [byToken, names]);

  const other = (token: boolean) => { setByToken(token); setText(""); setError(""); };

  async function asDemo(user: string) {
    setBusy(true);
    setError("");
    try {
      await demoToken(user);
      enter({ demo: user });
    } catch (e) {
      if (e instanceof NoDemo) {
        setDemo(false);
        other(true);
        setError("This server has no demo users. Paste a token of your app’s login.");
      } else {
        setError(e instanceof Refused ? "This name can not be used." : "The server does not answer. Try again in a moment.");
      }
      setBusy(false);
    }
  }

  function submit(e: Event) {
    e.preventDefault();
    const value = text.trim();
    if (!value || busy) return;
    if (!byToken) return void asDemo(value);
    if (subjectOf(value)) enter({ token: value });
    else setError("That is no token.");
  }

  return (
    <main class="login">
      <div class="login-card">
        <header>
          <img src={icon} alt="" />
          <h1>Parley</h1>
          <p>{byToken ? "Log in with a token." : "Who are you?"}</p>
        </header>
        {names && <form onSubmit={submit}>
          {!byToken && names.length > 0 && (
            <div class="suggestions" role="group" aria-label="Demo users">
              {names.map((s) => (
                <button type="button" key={s} disabled={busy} onClick={() => asDemo(s)}>
                  <Avatar id={s} name={s} size="small" />{s}
                </button>
              ))}
            </div>
          )}
          {!byToken && names.length > 0 && <div class="or">or</div>}
          <label class="field">
            <span>{byToken ? "Token" : "Name"}</span>
            {byToken
              ? <textarea ref={field} class="input mono" rows={4} spellcheck={false} autocomplete="off" value={text} onInput={(e) => setText(e.currentTarget.value)} onKeyDown={(e) => { if (e.key === "Enter") submit(e); }} />
              : <input ref={field} class="input" name="name" maxLength={128} autocomplete="username" autocapitalize="none" spellcheck={false} dir="auto" value={text} onInput={(e) => setText(e.currentTarget.value)} />}
          </label>
          <p class="error-text" role="alert">{error}</p>
          <button class="button primary wide" disabled={busy || !text.trim()}>{busy ? "Logging in…" : "Log in"}</button>
        </form>}
        {names && demo && <button type="button" class="button plain small switch-way" onClick={() => other(!byToken)}>
          {byToken ? "Log in as a demo user" : "Log in with a token"}
        </button>}
      </div>
    </main>
  );
}
