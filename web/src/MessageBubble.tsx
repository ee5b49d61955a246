import { Component } from "preact";
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

/** MessageBubble is one message. It is drawn anew only when something of it changed. */
export class MessageBubble extends Component<Props> {
  override shouldComponentUpdate(next: Props): boolean {
    const now = this.props as unknown as Record<string, unknown>;
    return Object.entries(next).some(([k, v]) => now[k] !== v);
  }

  render({ message: m, first, last, person, tick, members, group, opened, rowKey, readers, live }: Props) {
    const emoji = m.kind === "text" && fewEmoji(m.text ?? "") > 0;
    const at = m.at.getTime();
    const time = <><time title={exactTime(at)}>{clockTime(at)}</time>{tick && <Ticks mark={tick} />}</>;
    const meta = group && m.own
      ? <button class="meta" dir="ltr" aria-expanded={opened} aria-label={`${clockTime(at)}, ${tick}. Who has read it`} onClick={() => readers(rowKey)}>{time}</button>
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
}
