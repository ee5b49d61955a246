import { useEffect, useState } from "preact/hooks";
import { Icon } from "./Icon.tsx";
import { useLive } from "./live.ts";

/** Banner says above everything when there is no connection, and other news. */
export function Banner() {
  const live = useLive("connection", "news", "outbox");
  const { status, retryAt, error } = live.client.connection;
  const away = status === "offline" || status === "connecting";
  const shown = useAfter(away, 800);
  const seconds = useSeconds(status === "offline" ? retryAt : undefined);
  return (
    <div class="banners">
      <div role="status" aria-live="polite">
        {shown && (
          <div class="banner">
            {status === "connecting" && <span class="spinner" />}
            <span>
              {status === "connecting" ? "Connecting…" : offline(error?.code)}
              {status === "offline" && seconds > 0 && <span aria-hidden="true"> Next try in {seconds} s.</span>}
            </span>
            {status === "offline" && <button class="button small" onClick={() => live.client.reconnect()}>Try now</button>}
          </div>
        )}
      </div>
      {live.news.map((n) => (
        <div class={`banner ${n.tone}`} role="alert" key={n.id}>
          <span>{n.text}</span>
          <button class="icon-button" aria-label="Close this notice" onClick={() => live.putAway(n.id)}><Icon name="close" /></button>
        </div>
      ))}
    </div>
  );
}

function offline(code: string | undefined): string {
  if (!navigator.onLine) return "You are offline. What you write is kept, and sent later.";
  if (code === "overloaded" || code === "stopping" || code === "unavailable") return "The server is busy. What you write is kept, and sent later.";
  return "No connection to the server. What you write is kept, and sent later.";
}

/** useAfter is true once something has been so for a while: short losses need no banner. */
function useAfter(is: boolean, ms: number): boolean {
  const [after, set] = useState(false);
  useEffect(() => {
    if (!is) return set(false);
    const t = setTimeout(() => set(true), ms);
    return () => clearTimeout(t);
  }, [is, ms]);
  return is && after;
}

/** useSeconds counts down to a time. */
function useSeconds(until: number | undefined): number {
  const [, tick] = useState(0);
  useEffect(() => {
    if (until === undefined) return;
    const t = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(t);
  }, [until]);
  return until === undefined ? 0 : Math.max(0, Math.ceil((until - Date.now()) / 1000));
}
