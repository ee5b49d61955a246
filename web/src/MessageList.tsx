import { Component, createRef } from "preact";
import type { Conversation, Draft, Item } from "@parleychat/client";
import { still } from "./device.ts";
import { DraftBubble } from "./DraftBubble.tsx";
import { dayTitle } from "./format.ts";
import { Icon } from "./Icon.tsx";
import type { Live } from "./live.ts";
import { MessageBubble } from "./MessageBubble.tsx";
import { rowsOf, type Row } from "./rows.ts";
import { eventText } from "./summary.ts";
import type { Timeline } from "./timeline.ts";
import { TypingLine } from "./TypingLine.tsx";

interface Props {
  self: { current: MessageList | null }; // is set to this list: a ref is not, of a component
  live: Live;
  conversation: Conversation;
  timeline: Timeline;
  items: readonly Item[];
  drafts: readonly Draft[];
  unread: number | undefined;
  seen: (seq: number) => void;
}

interface State {
  away: boolean; // from the newest message
  opened: string | null; // key of the message whose readers are shown
}

type Anchor = { key: string; bottom: number } | null;

const ahead = 1200; // pixels before the end at which more is read
const near = 40; // pixels: nearer to the end, it is followed
const leap = 100; // messages: of more than these, who follows the end is shown the last at once

/**
 * MessageList draws the timeline and keeps its place: what the reader looks at does
 * not move when something is put in above or taken away below. At the end it follows.
 */
export class MessageList extends Component<Props, State> {
  override state: State = { away: false, opened: null };
  private readonly box = createRef<HTMLDivElement>();
  private readonly list = createRef<HTMLOListElement>();
  private following = true;
  private placed = false;
  private top = 0; // where it was scrolled to last
  private watch: ResizeObserver | null = null;
  private lookTimer = 0;
  private lookAgain = false;
  private rows: Row[] = [];

  override componentDidMount(): void {
    this.props.self.current = this;
    this.watch = new ResizeObserver(() => { if (this.following) this.follow(); });
    this.watch.observe(this.box.current!);
    this.watch.observe(this.list.current!);
    document.addEventListener("visibilitychange", this.look);
    addEventListener("focus", this.look);
    this.place();
  }

  override componentWillUnmount(): void {
    this.props.self.current = null;
    this.watch?.disconnect();
    clearTimeout(this.lookTimer);
    document.removeEventListener("visibilitychange", this.look);
    removeEventListener("focus", this.look);
  }

  override getSnapshotBeforeUpdate(): Anchor {
    return this.following ? null : this.anchor();
  }

  override componentDidUpdate(before: Props, _: State, anchor: Anchor): void {
    if (!this.placed) return this.place();
    if (this.following) this.follow();
    else if (anchor && (before.items !== this.props.items || before.drafts !== this.props.drafts || before.unread !== this.props.unread)) this.hold(anchor);
    this.look();
    this.reach();
  }

  /** toNewest goes to the end, reading it first if it is not here. */
  toNewest = (): void => {
    const { timeline } = this.props;
    const smooth = !timeline.after && !still() && this.distance() < 4000;
    this.following = true;
    if (timeline.after) void timeline.newest();
    else if (smooth) this.box.current!.scrollTo({ top: this.box.current!.scrollHeight, behavior: "smooth" });
    else this.follow();
    this.setState({ away: false });
  };

  private down = (): void => {
    this.toNewest();
    this.box.current!.focus(); // the button goes
  };

  /** keys makes End mean the end of the conversation, and not of what is here. */
  private keys = (e: KeyboardEvent): void => {
    if (e.key !== "End" || !this.props.timeline.after) return;
    e.preventDefault();
    this.toNewest();
  };

  private distance(): number {
    const b = this.box.current!;
    return b.scrollHeight - b.scrollTop - b.clientHeight;
  }

  private follow(): void {
    const b = this.box.current!;
    b.scrollTop = b.scrollHeight;
  }

  /** place shows the first unread message, or the newest, when the timeline has been read. */
  private place(): void {
    if (!this.props.timeline.loaded || (this.props.items.length === 0 && this.props.conversation.last > 0 && !this.props.timeline.partial)) return;
    this.placed = true;
    const b = this.box.current!;
    const line = this.list.current!.querySelector<HTMLElement>(".unread-line");
    b.scrollTop = line ? line.offsetTop - b.clientHeight * 0.2 : b.scrollHeight;
    this.following = this.distance() < near && !this.props.timeline.after;
    this.setState({ away: !this.following && this.distance() > 300 });
    this.look();
    this.reach();
  }

  /** anchor is the first message in sight, and how far its end is from the top: its
   * beginning moves when it is no longer the first of a group. */
  private anchor(): Anchor {
    const b = this.box.current;
    const all = this.list.current?.children;
    if (!b || !all || all.length === 0) return null;
    let low = 0, high = all.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      const e = all[middle] as HTMLElement;
      if (e.offsetTop + e.offsetHeight > b.scrollTop) high = middle;
      else low = middle + 1;
    }
    for (let i = low; i < all.length; i++) {
      const e = all[i] as HTMLElement;
      if (e.dataset.key?.startsWith("m")) return { key: e.dataset.key, bottom: e.offsetTop + e.offsetHeight - b.scrollTop };
    }
    return null;
  }

  private hold(a: NonNullable<Anchor>): void {
    const e = this.list.current!.querySelector<HTMLElement>(`[data-key="${a.key}"]`);
    if (!e) return;
    const b = this.box.current!;
    const top = e.offsetTop + e.offsetHeight - a.bottom;
    if (Math.abs(b.scrollTop - top) > 0.5) b.scrollTop = top;
  }

  /** scrolled follows the end again when it is reached, and lets go of it only when the
   * reader goes up: what is put in below also makes it further away. */
  private scrolled = (): void => {
    const far = this.distance();
    const { scrollTop } = this.box.current!;
    const { after } = this.props.timeline;
    if (far < near && !after) this.following = true;
    else if (far >= near && scrollTop < this.top - 1) this.following = false;
    this.top = scrollTop;
    const away = !this.following && (far > 300 || after);
    if (away !== this.state.away) this.setState({ away });
    this.look();
    this.reach();
  };

  /** reach reads more where the end of what is here comes near. */
  private reach(): void {
    if (!this.placed) return;
    const { timeline } = this.props;
    if (this.box.current!.scrollTop < ahead) void timeline.older();
    if (!timeline.after || timeline.busy) return;
    if (this.following && this.props.conversation.last - timeline.to > leap) void timeline.newest();
    else if (this.distance() < ahead) void timeline.newer();
  }

  /** look says which messages have been seen, now and then at most. */
  private look = (): void => {
    this.lookAgain = this.lookTimer !== 0;
    if (this.lookAgain) return;
    this.lookTimer = window.setTimeout(() => {
      this.lookTimer = 0;
      if (this.lookAgain) this.look();
    }, 150);
    const seq = this.inSight();
    if (seq > 0) this.props.seen(seq);
  };

  /** inSight is the last message in sight of a page that is looked at. */
  private inSight(): number {
    const b = this.box.current;
    const { timeline } = this.props;
    if (!b || !this.placed || document.hidden) return 0;
    if (this.following && !timeline.after) return timeline.to;
    const all = this.list.current!.children;
    const bottom = b.scrollTop + b.clientHeight + 4;
    for (let i = all.length - 1; i >= 0; i--) {
      const e = all[i] as HTMLElement;
      if (e.dataset.seq && e.offsetTop + e.offsetHeight <= bottom) return Number(e.dataset.seq);
    }
    return 0;
  }

  private readers = (key: string): void => this.setState({ opened: this.state.opened === key ? null : key });

  render({ live, conversation: c, timeline, items, drafts, unread }: Props, { away, opened }: State) {
    this.rows = rowsOf(items, drafts, unread);
    const empty = timeline.loaded && this.rows.length === 0;
    const lastOwn = c.kind === "group" ? this.lastOwn() : undefined;
    return (
      <>
        <div class="messages" ref={this.box} onScroll={this.scrolled} onKeyDown={this.keys} tabIndex={0} role="region" aria-label="Messages" aria-busy={!timeline.loaded || timeline.busy === "older"}>
          {!timeline.loaded && <Loading />}
          {timeline.before && <div class="loading">{timeline.busy === "older" && <span class="spinner" />}{timeline.partial && "Older messages are read when the connection is back."}</div>}
          {empty && <div class="empty chat-empty"><Icon name="chat" /><h2>No messages yet</h2><p>Say hello.</p></div>}
          <ol ref={this.list} role="list">
            {this.rows.map((r) => this.row(r, live, c, opened, lastOwn))}
          </ol>
          {!timeline.after && <TypingLine conversation={c} grown={() => { if (this.following) this.follow(); }} />}
        </div>
        <button class="to-newest" hidden={!away} aria-label={c.unread ? `Go to the newest message, ${c.unread} unread` : "Go to the newest message"} tabIndex={away ? 0 : -1} onClick={this.down}>
          {c.unread > 0 && <span class="badge" aria-hidden="true">{c.unread > 999 ? "999+" : c.unread}</span>}
          <Icon name="down" />
        </button>
      </>
    );
  }

  /** lastOwn is the last message of the conversation if it is the user's own. */
  private lastOwn(): string | undefined {
    const r = this.rows[this.rows.length - 1];
    return r?.type === "message" && r.message.own && !this.props.timeline.after ? r.key : undefined;
  }

  private row(r: Row, live: Live, c: Conversation, opened: string | null, lastOwn: string | undefined) {
    switch (r.type) {
      case "day":
        return <li class="day" key={r.key}><span>{dayTitle(r.at)}</span></li>;
      case "unread":
        return <li class="unread-line" key={r.key}>New messages</li>;
      case "system":
        return <li class="system" key={r.key} data-key={r.key} data-seq={r.message.seq}><span dir="auto">{eventText(r.message.from, r.message.event, live)}</span></li>;
      case "withheld":
        return <li class="system" key={r.key}><span>Messages from when you did not belong here</span></li>;
      case "waiting":
        return <li class="system" key={r.key}><span>{r.count} more wait to be sent</span></li>;
      case "draft":
        return <li key={r.key} data-key={r.key}><DraftBubble live={live} draft={r.draft} first={r.first} last={r.last} /></li>;
      case "message": {
        const m = r.message;
        const person = c.kind === "group" && !m.own ? live.person(m.from) : undefined;
        return (
          <li key={r.key} data-key={r.key} data-seq={m.seq}>
            <MessageBubble
              message={m} first={r.first} last={r.last} person={person} tick={m.own ? c.tick(m.seq) ?? "sent" : undefined}
              members={c.kind === "group" && m.own && (opened === r.key || lastOwn === r.key) ? c.members : undefined}
              group={c.kind === "group"} opened={opened === r.key} rowKey={r.key} readers={this.readers} live={live}
            />
          </li>
        );
      }
    }
  }
}

function Loading() {
  const widths = ["a", "b", "c", "d", "e", "f"];
  return <div class="skeleton-chat" role="status" aria-label="Loading the messages">{widths.map((w) => <div class={`skeleton bubble-${w}`} key={w} />)}</div>;
}
