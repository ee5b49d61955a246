import { useState } from "preact/hooks";
import type { Failure, FailureCode } from "@parleychat/client";
import { Icon } from "./Icon.tsx";
import { nameOf, subjectOf, type Login } from "./login.ts";

type Way = "login" | "reload" | "leave";

const reasons: Partial<Record<FailureCode, { title: string; text: string; ways: Way[] }>> = {
  revoked: { title: "This device was logged out", text: "Another of your devices ended this one’s session.", ways: ["leave"] },
  bad_token: { title: "Please log in again", text: "Your login has expired. What you wrote and was not sent yet is kept, and is sent once you are back.", ways: ["login", "leave"] },
  token: { title: "Please log in again", text: "There is no token to log in with any more. What you wrote and was not sent yet is kept.", ways: ["login", "leave"] },
  replaced: { title: "Parley goes on elsewhere", text: "A copy of this browser’s data is in use by another client.", ways: ["reload", "leave"] },
  erased: { title: "You have logged out", text: "You logged out in another tab.", ways: ["leave"] },
  other_user: { title: "This browser is somebody else’s", text: "What it keeps belongs to another user. Log out to begin anew.", ways: ["leave"] },
  store_broken: { title: "This browser’s storage does not work", text: "Its data can not be read or written. Reload the page; if that does not help, log out to clear it.", ways: ["reload", "leave"] },
  store_full: { title: "This browser has no room left", text: "Parley needs some space to keep what you write safe. Free some, then reload the page.", ways: ["reload", "leave"] },
  protocol: { title: "Please reload", text: "This page and the server do not understand each other; one of them is older.", ways: ["reload", "leave"] },
};

interface Props {
  why: Failure;
  login: Login;
  enter: (login: Login) => void;
  leave: (erase: boolean) => void;
}

/** StoppedScreen says why the client gave up, and what can be done. */
export function StoppedScreen({ why, login, enter, leave }: Props) {
  const { title, text, ways } = reasons[why.code] ?? { title: "Parley has stopped", text: why.message, ways: ["reload", "leave"] as Way[] };
  return (
    <main class="login">
      <div class="login-card" role="alert">
        <header>
          <span class="avatar huge hue-4"><Icon name={why.code === "revoked" ? "devices" : "alert"} /></span>
          <h1>{title}</h1>
          <p>{text}</p>
        </header>
        {ways.includes("login") && <Again login={login} enter={enter} />}
        {ways.includes("reload") && <button class="button primary wide" onClick={() => location.reload()}>Reload</button>}
        {ways.includes("leave") && (
          <button class={`button wide ${ways[0] === "leave" ? "primary" : "plain"}`} onClick={() => leave(false)}>
            {ways[0] === "leave" ? "Log in again" : "Log in as somebody else"}
          </button>
        )}
      </div>
    </main>
  );
}

/** Again logs the same user in: with a token anew, or for a demo user at once. */
function Again({ login, enter }: { login: Login; enter: (login: Login) => void }) {
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const user = nameOf(login);
  if ("demo" in login) return <button class="button primary wide" onClick={() => enter({ ...login })}>Log in as {user}</button>;
  function submit(e: Event) {
    e.preventDefault();
    const subject = subjectOf(text.trim());
    if (subject === user) enter({ token: text.trim() });
    else setError(subject ? `That token is ${subject}’s, not ${user}’s.` : "That is no token.");
  }
  return (
    <form onSubmit={submit}>
      <label class="field">
        <span>New token for {user}</span>
        <textarea class="input mono" rows={4} spellcheck={false} autocomplete="off" value={text} onInput={(e) => setText(e.currentTarget.value)} />
      </label>
      <p class="error-text" role="alert">{error}</p>
      <button class="button primary wide" disabled={!text.trim()}>Log in</button>
    </form>
  );
}
