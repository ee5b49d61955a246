import type { Draft } from "@parleychat/client";
import { clockTime, fewEmoji } from "./format.ts";
import type { Live } from "./live.ts";
import { kindTitle } from "./summary.ts";
import { Text } from "./Text.tsx";
import { Ticks } from "./Ticks.tsx";
import { attempt } from "./Toasts.tsx";

const refusals: Record<string, string> = {
  too_large: "Not sent: it is too long.",
  not_member: "Not sent: you no longer belong here.",
  restored: "Not there any more: the server was restored from a backup.",
  number_reused: "Not sent.",
};

/** DraftBubble is a message on its way: a clock while it waits, and what to do when it was refused. */
export function DraftBubble({ live, draft: d, first, last }: { live: Live; draft: Draft; first: boolean; last: boolean }) {
  const emoji = d.kind === "text" && fewEmoji(d.text ?? "") > 0;
  const meta = <span class="meta" dir="ltr"><time>{clockTime(d.createdAt.getTime())}</time><Ticks mark={d.status} /></span>;
  const failed = d.status === "failed";
  return (
    <>
      <div class={`message own ${first ? "first" : ""} ${last ? "last" : ""}`}>
        <div class={`bubble ${emoji ? "emoji" : ""}`}>
          <span class="hidden-text">You: </span>
          {d.kind === "text" ? <Text text={d.text ?? ""}>{meta}</Text> : <p class="body neutral">{kindTitle(d.kind)}{meta}</p>}
        </div>
      </div>
      {failed && (
        <div class="failed-line" role="alert">
          <span>{refusals[d.error?.code ?? ""] ?? "Not sent."}</span>
          {d.error?.code !== "too_large" && <button class="button plain small" onClick={() => attempt(live.client.resend(d))}>Send again</button>}
          <button class="button danger small" onClick={() => attempt(live.client.discard(d))}>Discard</button>
        </div>
      )}
    </>
  );
}
