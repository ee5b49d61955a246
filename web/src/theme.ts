import { kept } from "./kept.ts";

export type Theme = "system" | "light" | "dark";

const dark = matchMedia("(prefers-color-scheme: dark)");

export function theme(): Theme {
  const t = kept.get("theme");
  return t === "light" || t === "dark" ? t : "system";
}

function apply(): void {
  const t = theme();
  document.documentElement.dataset.theme = t === "system" ? (dark.matches ? "dark" : "light") : t;
}

export function setTheme(t: Theme): void {
  if (t === "system") kept.remove("theme");
  else kept.set("theme", t);
  apply();
}

/** followTheme shows the theme chosen, here or in another tab, or else the system's. */
export function followTheme(): void {
  apply();
  dark.addEventListener("change", apply);
  addEventListener("storage", (e) => { if (e.key === "parley.theme") apply(); });
}
