export type Mark = "queued" | "failed" | "sent" | "delivered" | "read";

const says: Record<Mark, string> = {
  queued: "waiting to be sent", failed: "not sent", sent: "sent", delivered: "delivered", read: "read",
};

/** Ticks say how far one's own message has come. */
export function Ticks({ mark }: { mark: Mark }) {
  return (
    <>
      <svg class={`ticks ${mark}`} viewBox="0 0 18 12" aria-hidden="true" data-mark={mark}>
        {mark === "queued" && <path d="M9 1.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6zM9 3.5V6l1.8 1.1" />}
        {mark === "failed" && <path d="M9 1.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6zM9 3.5v3M9 8.5v.01" />}
        {mark === "sent" && <path d="M4 6.5L7.5 10 14 2" />}
        {(mark === "delivered" || mark === "read") && <path d="M1.5 6.5L5 10l6.5-8M8.3 9.2l.8.800 6.5-8" />}
      </svg>
      <span class="hidden-text">{says[mark]}</span>
    </>
  );
}
