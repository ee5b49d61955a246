import { kept, tabKept } from "./kept.ts";

/** Login is who uses this tab: a demo user, for whom a server that runs with --dev
 * makes a token whenever one is needed; or whoever a pasted token names. */
export type Login = { demo: string } | { token: string };

/**
 * remembered is the login of this tab, or the last one of this browser. A tab that
 * was opened for somebody else (`#as-somebody-else`) begins with none.
 */
export function remembered(): Login | null {
  if (location.hash === "#as-somebody-else") {
    history.replaceState(null, "", location.pathname);
    tabKept.set("login", "none");
  }
  try {
    const l = JSON.parse(tabKept.get("login") ?? kept.get("login") ?? "null") as Partial<Record<"demo" | "token", unknown>> | null;
    if (typeof l?.demo === "string") return { demo: l.demo };
    if (typeof l?.token === "string") return { token: l.token };
  } catch { /* not one of ours */ }
  return null;
}

export function remember(login: Login): void {
  tabKept.set("login", JSON.stringify(login));
  kept.set("login", JSON.stringify(login));
}

export function forget(login: Login): void {
  tabKept.remove("login");
  if (kept.get("login") === JSON.stringify(login)) kept.remove("login");
}

/** NoDemo says that the server gives no tokens: it runs without --dev. */
export class NoDemo extends Error {}

/** Refused says that the server will not make a token of this name. */
export class Refused extends Error {}

/** demoUsers are the names that a server with --dev offers. */
export async function demoUsers(): Promise<string[]> {
  const r = await fetch("/v1/dev/users");
  if (r.status === 404 || r.status === 405) throw new NoDemo("this server knows no demo users");
  if (!r.ok) throw new Error(`the server answers ${r.status}`);
  return ((await r.json()) as { users: string[] | null }).users ?? [];
}

export async function demoToken(user: string): Promise<string> {
  const r = await fetch("/v1/dev/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user }),
  });
  if (r.status === 404 || r.status === 405) throw new NoDemo("this server makes no tokens");
  if (r.status === 400) throw new Refused((await r.text()).trim());
  if (!r.ok) throw new Error(`the server answers ${r.status}`);
  return ((await r.json()) as { token: string }).token;
}

/** subjectOf reads whom a token names, without believing it: that is the server's. */
export function subjectOf(token: string): string | null {
  try {
    const part = token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (c) => c.charCodeAt(0));
    const { sub } = JSON.parse(new TextDecoder().decode(bytes)) as { sub?: unknown };
    return typeof sub === "string" && sub ? sub : null;
  } catch {
    return null;
  }
}

export const tokenOf = (login: Login): Promise<string> =>
  "demo" in login ? demoToken(login.demo) : Promise.resolve(login.token);

export const nameOf = (login: Login): string => ("demo" in login ? login.demo : subjectOf(login.token) ?? "");
