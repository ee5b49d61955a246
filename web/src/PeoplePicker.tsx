import { useMemo, useState } from "preact/hooks";
import { Avatar } from "./Avatar.tsx";
import { Icon } from "./Icon.tsx";
import { useLive } from "./live.ts";
import { acquainted, matching } from "./people.ts";

interface Props {
  chosen: readonly string[];
  choose: (users: string[]) => void;
  without?: ReadonlySet<string>; // those who belong already
  first?: boolean; // the dialog's focus begins here
}

/** PeoplePicker chooses any number of people: from those known, or by name. */
export function PeoplePicker({ chosen, choose, without, first }: Props) {
  const live = useLive("list", "people");
  const [text, setText] = useState("");
  const known = useMemo(() => acquainted(live), [live, live.client.conversations()]);
  const found = matching(known.filter((p) => !without?.has(p.user)), text);
  const named = text.trim();
  const other = named !== "" && named !== live.client.user && !without?.has(named) && !chosen.includes(named) && !found.some((p) => p.user === named);

  const toggle = (user: string) => {
    choose(chosen.includes(user) ? chosen.filter((u) => u !== user) : [...chosen, user]);
    setText("");
  };

  return (
    <div class="picker">
      <div class="chips">
        {chosen.map((u) => {
          const p = live.person(u);
          return (
            <span class="chip" key={u}>
              <Avatar id={u} name={p.name} picture={p.picture} /><bdi class="one-line">{p.name}</bdi>
              <button type="button" aria-label={`Take ${p.name} out`} onClick={() => toggle(u)}><Icon name="close" /></button>
            </span>
          );
        })}
      </div>
      <input
        class="input" placeholder="Add people by name" aria-label="Add people by name" autocomplete="off" autocapitalize="none" spellcheck={false} dir="auto" value={text} data-first={first || undefined}
        onInput={(e) => setText(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === "Enter" && named) { e.preventDefault(); if (other) toggle(named); else if (found[0]) toggle(found[0].user); }
          if (e.key === "Backspace" && !text && chosen.length > 0) choose(chosen.slice(0, -1));
        }}
      />
      <ul class="picker-list">
        {other && <li><button type="button" class="option" onClick={() => toggle(named)}><Avatar id={named} name={named} size="medium" /><span class="one-line">Add <b><bdi>{named}</bdi></b></span></button></li>}
        {found.map((p) => (
          <li key={p.user}>
            <button type="button" class="option" role="checkbox" aria-checked={chosen.includes(p.user)} onClick={() => toggle(p.user)}>
              <Avatar id={p.user} name={p.name} picture={p.picture} size="medium" />
              <bdi class="one-line picker-name">{p.name}</bdi>
              <span class="box">{chosen.includes(p.user) && <Icon name="check" />}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
