import type { Member, Message, Tick } from "@parleychat/client";
import { Avatar } from "./Avatar.tsx";
import { clockTime, exactTime, fewEmoji, hueOf } from "./format.ts";
import type { Live, Person } from "./live.ts";
import { ReadBy, readLine } from "./ReadBy.tsx";
import { kindTitle } from "./summary.ts";
import { Text } from "./Text.tsx";
import { Ticks } from "./Ticks.tsx";

interface Props {
  message: Message;
  first: boolean; // of those that one person sent together
  last: boolean;
  person: Person | undefined; // who sent it, where that must be said
  tick: Tick | undefined; // of one's own
  members: readonly Member[] | undefined; // to say who has read it
  group: boolean;
  opened: boolean;
  rowKey: string;
  readers: (key: string) => void;
  live: Live;
}

/** MessageBubble is one message. It is drawn each time that the list is: a component
 * that keeps what it drew before (shouldComponentUpdate) ties that to the tree of now,
 * and Preact, which keeps an old tree here and there, then keeps all between them. */
export function MessageBubble({ message: m, first, last, person, tick, members, group, opened, rowKey, readers, live }: Props) {
  const emoji = m.kind === "text" && fewEmoji(m.text ?? "") > 0;
  const { clock, exact } = timesOf(m);
  const time = <><time title={exact}>{clock}</time>{tick && <Ticks mark={tick} />}</>;
  const meta = group && m.own
    ? <button class="meta" dir="ltr" aria-expanded={opened} aria-label={`${clock}, ${tick}. Who has read it`} onClick={() => readers(rowKey)}>{time}</button>
    : <span class="meta" dir="ltr">{time}</span>;
  const line = group && members && last ? readLine(members, m.seq) : "";
  return (
    <>
      <div class={`message ${m.own ? "own" : ""} ${first ? "first" : ""} ${last ? "last" : ""}`}>
        {person && (last ? <Avatar id={person.user} name={person.name} picture={person.picture} size="small" /> : <span class="avatar-space" />)}
        <div class={`bubble ${emoji ? "emoji" : ""}`}>
          {person && first && <bdi class={`from hue-${hueOf(person.user)}`}>{person.name}</bdi>}
          {!person && !m.own && <span class="hidden-text">{live.name(m.from)}: </span>}
          {m.own && <span class="hidden-text">You: </span>}
          {m.kind === "text" ? <Text text={m.text ?? ""}>{meta}</Text> : <p class="body neutral">{kindTitle(m.kind)}{meta}</p>}
        </div>
      </div>
      {line && !opened && <p class="read-line">{line}</p>}
      {opened && <ReadBy members={members} seq={m.seq} live={live} />}
    </>
  );
}

const times = new WeakMap<Message, { clock: string; exact: string }>();

/** timesOf are the times as text, made once: formatting is dear. */
function timesOf(m: Message): { clock: string; exact: string } {
  let t = times.get(m);
  if (!t) times.set(m, (t = { clock: clockTime(m.at.getTime()), exact: exactTime(m.at.getTime()) }));
  return t;
}
