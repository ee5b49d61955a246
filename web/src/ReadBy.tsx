import type { Member } from "@parleychat/client";
import { Avatar } from "./Avatar.tsx";
import type { Live } from "./live.ts";
import { Ticks } from "./Ticks.tsx";

/** readLine says "Read by 3 of 5", of the others in a group. */
export function readLine(members: readonly Member[], seq: number): string {
  const read = members.filter((m) => m.read >= seq).length;
  if (read === 0) return "";
  return read === members.length ? (read === 1 ? "Read" : "Read by all") : `Read by ${read} of ${members.length}`;
}

/** ReadBy says who has read a message, to whom it came, and who has not got it yet. */
export function ReadBy({ members, seq, live }: { members: readonly Member[] | undefined; seq: number; live: Live }) {
  if (!members) return <div class="read-by"><div>Who has read it is not known here.</div></div>;
  const read = members.filter((m) => m.read >= seq);
  const delivered = members.filter((m) => m.read < seq && m.delivered >= seq);
  const sent = members.filter((m) => m.delivered < seq && m.read < seq);
  return (
    <div class="read-by">
      <div>
        <People title={`Read by ${read.length} of ${members.length}`} mark="read" people={read} live={live} />
        <People title={`Delivered to ${delivered.length} more`} mark="delivered" people={delivered} live={live} />
        <People title={`Not yet delivered to ${sent.length}`} mark="sent" people={sent} live={live} />
      </div>
    </div>
  );
}

function People({ title, mark, people, live }: { title: string; mark: "read" | "delivered" | "sent"; people: Member[]; live: Live }) {
  if (people.length === 0 && mark !== "read") return null;
  return (
    <>
      <h3><Ticks mark={mark} />{title}</h3>
      <ul>
        {people.slice(0, 50).map((m) => {
          const p = live.person(m.user);
          return <li key={m.user}><Avatar id={p.user} name={p.name} picture={p.picture} size="small" /><bdi class="one-line">{p.name}</bdi></li>;
        })}
      </ul>
    </>
  );
}
