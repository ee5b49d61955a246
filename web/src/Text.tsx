import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { linked } from "./links.ts";

const long = 1600; // characters; what is longer is folded, so that it costs nothing to scroll by

/** Text shows what somebody wrote, as text: links can be followed, nothing else does
 * anything. Its children, the time, stand at the end of the last line. */
export function Text({ text, children }: { text: string; children: ComponentChildren }) {
  const [whole, setWhole] = useState(false);
  const folded = !whole && text.length > long + 400;
  return (
    <p class="body" dir="auto">
      {linked(folded ? cut(text) : text).map((p) =>
        typeof p === "string" ? p : <a href={p.href} target="_blank" rel="noopener noreferrer nofollow">{p.text}</a>)}
      {folded && <>… <button class="more" onClick={() => setWhole(true)}>Show all</button></>}
      {children}
    </p>
  );
}

/** cut ends a text near the limit, between two words and never inside a character. */
function cut(text: string): string {
  const head = text.slice(0, long);
  const space = head.lastIndexOf(" ");
  return (space > long - 200 ? head.slice(0, space) : head).replace(/[\ud800-\udbff]$/, "");
}
