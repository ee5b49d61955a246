/** Part is a stretch of a message: text, or a link to follow. */
export type Part = string | { href: string; text: string };

const pattern = /\b(?:https?:\/\/|www\.(?=[\p{L}\p{N}]))[^\s<>"'`]+/giu;
const trailing = /[.,;:!?…)\]}»”’]+$/u;

/**
 * linked splits a text into what is a link and what is not. Only http and https
 * are links, and what begins with www.: whatever else a message says stays text. A bracket that was opened
 * inside the address belongs to it; a full stop behind it does not.
 */
export function linked(text: string): Part[] {
  if (!text.includes("://") && !/www\./i.test(text)) return [text];
  const parts: Part[] = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    const address = trimmed(match[0]);
    const href = safe(/^www\./i.test(address) ? `https://${address}` : address);
    if (!href) continue;
    if (match.index > end) parts.push(text.slice(end, match.index));
    parts.push({ href, text: address });
    end = match.index + address.length;
  }
  if (end < text.length) parts.push(text.slice(end));
  return parts;
}

function trimmed(address: string): string {
  let tail = trailing.exec(address)?.[0] ?? "";
  let head = address.slice(0, address.length - tail.length);
  while (tail.startsWith(")") && count(head, "(") > count(head, ")")) {
    head += ")";
    tail = tail.slice(1);
  }
  return head;
}

const count = (text: string, c: string) => text.split(c).length - 1;

function safe(address: string): string | null {
  try {
    const url = new URL(address);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

/** picture is an address that may be shown as an image, or nothing. */
export function picture(reference: string | undefined): string | null {
  if (!reference) return null;
  if (/^data:image\/(png|jpeg|gif|webp|svg\+xml|avif);base64,[A-Za-z0-9+/=]+$/.test(reference)) return reference;
  return /^https:\/\//i.test(reference) ? safe(reference) : null;
}
