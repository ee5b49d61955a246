import type { Live, Person } from "./live.ts";

/** acquainted are those the user has a conversation with, and the members of his
 * groups as far as they are known; the newest first. */
export function acquainted(live: Live): Person[] {
  const found = new Map<string, Person>();
  const meet = (user: string, name: string, picture: string) => {
    if (user && user !== live.client.user && !found.has(user)) found.set(user, { user, name: name || user, picture });
  };
  const all = live.client.conversations();
  for (const c of all) if (c.peer) meet(c.peer.user, c.peer.name, c.peer.picture);
  for (const c of all) if (c.kind === "group") for (const m of c.members ?? []) meet(m.user, m.name, m.picture);
  return [...found.values()];
}

/** matching are those whose name, or user name, has the words in it. */
export function matching(people: readonly Person[], words: string, most = 50): Person[] {
  const sought = words.trim().toLocaleLowerCase();
  const fits = (p: Person) => p.name.toLocaleLowerCase().includes(sought) || p.user.toLocaleLowerCase().includes(sought);
  return (sought ? people.filter(fits) : people).slice(0, most);
}
