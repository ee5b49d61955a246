import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./Icon.tsx";

interface Props {
  label: string;
  icon?: IconName;
  children: (close: () => void) => ComponentChildren;
}

/** Menu is a button that opens a list of actions. Arrow keys move in it, Esc closes it. */
export function Menu({ label, icon = "dots", children }: Props) {
  const [open, setOpen] = useState(false);
  const holder = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = () => { setOpen(false); button.current?.focus(); };

  useLayoutEffect(() => {
    if (!open) return;
    holder.current!.querySelector(".menu")!.scrollIntoView({ block: "nearest" }); // all of it, where the panel scrolls
    items()[0]?.focus({ preventScroll: true });
    const outside = (e: PointerEvent) => { if (!holder.current?.contains(e.target as Node)) setOpen(false); };
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, [open]);

  const items = () => [...(holder.current?.querySelectorAll<HTMLElement>("[role^=menuitem]") ?? [])];
  function keys(e: KeyboardEvent) {
    if (!open) return;
    const all = items();
    const at = all.indexOf(document.activeElement as HTMLElement);
    if (e.key === "Escape") { e.preventDefault(); e.stopPropagation(); close(); }
    else if (e.key === "Tab") setOpen(false);
    else if (e.key === "ArrowDown") { e.preventDefault(); all[(at + 1) % all.length]?.focus(); }
    else if (e.key === "ArrowUp") { e.preventDefault(); all[(at - 1 + all.length) % all.length]?.focus(); }
  }

  return (
    <div class="menu-holder" ref={holder} onKeyDown={keys}>
      <button ref={button} class="icon-button" aria-label={label} aria-haspopup="menu" aria-expanded={open} onClick={() => setOpen(!open)}><Icon name={icon} /></button>
      {open && <div class="menu" role="menu" aria-label={label}>{children(close)}</div>}
    </div>
  );
}

interface ItemProps {
  icon: IconName;
  danger?: boolean;
  checked?: boolean;
  act: () => void;
  children: ComponentChildren;
}

export function MenuItem({ icon, danger, checked, act, children }: ItemProps) {
  return (
    <button type="button" tabIndex={-1} class={danger ? "danger" : ""} role={checked === undefined ? "menuitem" : "menuitemcheckbox"} aria-checked={checked} onClick={act}>
      <Icon name={icon} /><span>{children}</span>
      {checked && <span class="menu-check"><Icon name="check" /></span>}
    </button>
  );
}
