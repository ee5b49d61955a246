import { useState } from "preact/hooks";
import { hueOf, initials } from "./format.ts";
import { Icon } from "./Icon.tsx";
import { picture as pictureOf } from "./links.ts";

interface Props {
  /** What the colour is made of: it stays when the name changes. */
  id: string;
  name: string;
  picture?: string | undefined;
  group?: boolean;
  online?: boolean;
  size?: "small" | "medium" | "huge";
}

/** Avatar is a person's or a group's round: the picture, or the first letters in a
 * colour of its own. It says nothing to screen readers: the name stands beside it. */
export function Avatar({ id, name, picture, group, online, size }: Props) {
  const [broken, setBroken] = useState("");
  const src = pictureOf(picture);
  return (
    <span class={`avatar hue-${hueOf(id)} ${size ?? ""}`} aria-hidden="true">
      {initials(name) || <Icon name={group ? "people" : "person"} />}
      {src && src !== broken && <img class="face" src={src} alt="" loading="lazy" decoding="async" onError={() => setBroken(src)} />}
      {online && <span class="online" />}
    </span>
  );
}
