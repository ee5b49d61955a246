import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Icon } from "./Icon.tsx";

interface Props {
  title: string;
  close: () => void;
  tall?: boolean;
  flush?: boolean;
  children: ComponentChildren;
  footer?: ComponentChildren;
}

/** Dialog stands above the page until it is closed. The browser keeps the focus in it
 * and gives it back afterwards. */
export function Dialog({ title, close, tall, flush, children, footer }: Props) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    const d = box.current!;
    d.showModal();
    d.querySelector<HTMLElement>("[data-first]")?.focus();
    return () => { d.close(); before?.focus?.(); };
  }, []);
  return (
    <dialog
      ref={box} class={`dialog ${tall ? "tall" : ""}`} aria-labelledby={id}
      onCancel={(e) => { e.preventDefault(); close(); }}
      onPointerDown={(e) => { if (e.target === box.current) close(); }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <button class="icon-button" aria-label="Close" onClick={close}><Icon name="close" /></button>
      </header>
      <div class={`content ${flush ? "flush" : ""}`}>{children}</div>
      {footer && <footer>{footer}</footer>}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  text: string;
  action: string;
  close: () => void;
  act: () => void;
}

/** Confirm asks before what can not be taken back. */
export function Confirm({ title, text, action, close, act }: ConfirmProps) {
  return (
    <Dialog title={title} close={close} footer={
      <>
        <button class="button plain" data-first onClick={close}>Cancel</button>
        <button class="button danger" onClick={() => { close(); act(); }}>{action}</button>
      </>
    }>
      <p class="lead">{text}</p>
    </Dialog>
  );
}
