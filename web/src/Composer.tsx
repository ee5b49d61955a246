import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ConversationId, Failure } from "@parleychat/client";
import { touch } from "./device.ts";
import { bytesOf } from "./format.ts";
import { Icon } from "./Icon.tsx";
import type { Live } from "./live.ts";
import { explain } from "./Toasts.tsx";

const near = 0.8; // of the longest message: from here on the counter shows

/** Composer is where one writes. Enter sends, Shift and Enter makes a line. */
export function Composer({ live, id, sent }: { live: Live; id: ConversationId; sent: () => void }) {
  const [text, setText] = useState(() => live.begun(id));
  const [error, setError] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const max = live.client.bodyMax;
  const size = text.length * 3 > max * near ? bytesOf(text) : 0; // three bytes at most for a unit
  const over = size > max;

  useEffect(() => { if (!touch()) field.current?.focus(); }, [id]);
  useEffect(() => () => live.client.typing(id, false), [live, id]);
  useLayoutEffect(() => {
    const f = field.current!;
    if (CSS.supports("field-sizing", "content")) return;
    f.style.height = "auto";
    f.style.height = `${Math.min(f.scrollHeight + 2, 168)}px`;
  }, [text]);

  function write(value: string) {
    setText(value);
    setError("");
    live.begin(id, value);
    live.client.typing(id, value.trim() !== "");
  }

  function send() {
    const body = text.trim();
    if (!body) return;
    if (over) return setError(`This message is too long: ${(size - max).toLocaleString()} bytes more than the server takes.`);
    setText("");
    setError("");
    live.client.typing(id, false);
    live.leave(id, body).catch((e: Failure) => {
      setError(explain(e));
      const since = live.begun(id);
      const all = since ? `${text}\n${since}` : text;
      live.begin(id, all);
      setText(all);
    });
    sent();
    field.current?.focus();
  }

  return (
    <form class="composer" onSubmit={(e) => { e.preventDefault(); send(); }}>
      {error && <p class="composer-error" role="alert">{error}</p>}
      {size > max * near && !error && <span class={`counter ${over ? "over" : ""}`} role="status">{(max - size).toLocaleString()} bytes left</span>}
      <textarea
        ref={field} class="field-text" rows={1} dir="auto" placeholder="Message" aria-label="Message" aria-invalid={over || undefined} enterkeyhint={touch() ? "enter" : "send"} value={text}
        onInput={(e) => write(e.currentTarget.value)}
        onBlur={() => live.client.typing(id, false)}
        onKeyDown={(e) => {
          if (e.key === "Enter" && !e.shiftKey && !e.isComposing && e.keyCode !== 229 && !touch()) { e.preventDefault(); send(); }
        }}
      />
      <button class="send" aria-label="Send" disabled={!text.trim()}><Icon name="send" /></button>
    </form>
  );
}
