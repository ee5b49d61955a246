// Bytes as text.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The bytes of a text in UTF-8, and the text that they stand for. */
export const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text);
export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes);

const hexDigits = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

/** The bytes in hexadecimal digits. */
export function toHex(bytes: Uint8Array): string {
  let s = "";
  for (const b of bytes) s += hexDigits[b];
  return s;
}

/** The bytes that an even number of hexadecimal digits stands for. */
export function fromHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length >> 1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** The bytes in base64. */
export function toBase64(bytes: Uint8Array): string {
  let s = "";
  for (let i = 0; i < bytes.length; i += 0x2000) s += String.fromCharCode(...bytes.subarray(i, i + 0x2000));
  return btoa(s);
}

/** The bytes that base64 stands for, in its common form or that of URLs. */
export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
}

export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  const n = a?.length ?? 0;
  if (n !== (b?.length ?? 0)) return false;
  for (let i = 0; i < n; i++) if (a![i] !== b![i]) return false;
  return true;
}

/** Random bytes, in hexadecimal digits. */
export function randomHex(bytes: number): string {
  return toHex(crypto.getRandomValues(new Uint8Array(bytes)));
}
