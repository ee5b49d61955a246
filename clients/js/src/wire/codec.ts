// The two forms of the protocol, after the tables of schema.ts.
//
// What is read is strict where it matters and lenient where the protocol says so:
// fields that are not known are read over, what is cut off is an error.

import { fromBase64, textOf, toBase64, utf8 } from "./bytes.js";
import { enums, messages, roots, type Request, type Roots, type ServerMessage } from "./schema.js";

type Name = keyof Roots;

/** A message to be written: what is left out has its default. */
export type Init<T> = T extends Uint8Array | bigint | number | string | boolean | undefined ? T
  : T extends (infer E)[] ? readonly Init<E>[]
  : { readonly [K in keyof T]?: Init<T[K]> | undefined };

interface Field {
  readonly number: number;
  readonly name: string;
  /** b bool, s string, y bytes, f fixed64, u 32 bits, l 64 bits, e enum, m message. */
  readonly type: string;
  /** Of an enum or a message, its place in the tables. */
  readonly of: number;
  readonly many: boolean;
  /** Absent is another thing than the default. */
  readonly optional: boolean;
}

type Loose = Record<string, unknown>;

interface Shape {
  readonly fields: readonly Field[];
  readonly byNumber: readonly (Field | undefined)[];
  readonly byName: ReadonlyMap<string, Field>;
  /** The defaults of what is neither repeated nor optional. */
  readonly defaults: Loose;
}

const shapes: Shape[] = [];
const none = new Uint8Array();

/** The shape of the message at a place in the tables. */
function shapeOf(place: number): Shape {
  let shape = shapes[place];
  if (shape === undefined) {
    let last = 0;
    const fields = messages[place]!.split(",").filter(Boolean).map((text) => {
      const f = parseField(text, last + 1);
      last = f.number;
      return f;
    });
    const byNumber: (Field | undefined)[] = [];
    const defaults: Loose = {};
    for (const f of fields) {
      byNumber[f.number] = f;
      if (!f.many && !f.optional) defaults[f.name] = defaultOf(f.type);
    }
    shape = { fields, byNumber, byName: new Map(fields.map((f) => [f.name, f])), defaults };
    shapes[place] = shape;
  }
  return shape;
}

function parseField(text: string, expected: number): Field {
  const [, number = "", name = "", mark, type = "", of] = /^(\d+ )?(\w+) ([*?]?)([a-z])(\d*)$/.exec(text)!;
  return { number: Number(number) || expected, name, type, of: Number(of), many: mark === "*", optional: mark === "?" };
}

function defaultOf(type: string): unknown {
  switch (type) {
    case "b": return false;
    case "s": return "";
    case "y": return none;
    case "f": return 0n;
    default: return 0;
  }
}

function blank(shape: Shape): Loose {
  const m: Loose = { ...shape.defaults };
  for (const f of shape.fields) if (f.many) m[f.name] = [];
  return m;
}

/** The values of a field that are to be written. */
function present(f: Field, m: Loose): readonly unknown[] {
  const v = m[f.name];
  if (v === undefined) return [];
  if (f.many) return v as unknown[];
  if (f.optional) return [v];
  return v === false || v === "" || v === 0 || v === 0n || (v as Uint8Array).length === 0 ? [] : [v];
}

// ---------------------------------------------------------------------------
// Protobuf
// ---------------------------------------------------------------------------

/** Bytes to be written one behind the other. */
type Chunks = readonly ArrayLike<number>[];

function varint(n: number): number[] {
  const out: number[] = [];
  for (; n > 0x7f; n = Math.floor(n / 0x80)) out.push((n % 0x80) | 0x80);
  return [...out, n];
}

/** Puts their length before them. */
function sized(chunks: Chunks): Chunks {
  return [varint(chunks.reduce((n, c) => n + c.length, 0)), ...chunks];
}

function write(place: number, m: Loose): Chunks {
  const out: ArrayLike<number>[] = [];
  for (const f of shapeOf(place).fields) {
    for (const v of present(f, m)) {
      out.push(varint(f.number * 8 + wireType(f)));
      if (f.type === "s") out.push(...sized([utf8(v as string)]));
      else if (f.type === "y") out.push(...sized([v as Uint8Array]));
      else if (f.type === "m") out.push(...sized(write(f.of, v as Loose)));
      else if (f.type === "f") out.push(new Uint8Array(new BigUint64Array([v as bigint]).buffer)); // little-endian, as every browser's machine
      else out.push(varint(Number(v)));
    }
  }
  return out;
}

function concat(chunks: Chunks): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(chunks.reduce((n, c) => n + c.length, 0));
  let at = 0;
  for (const c of chunks) {
    all.set(c, at);
    at += c.length;
  }
  return all;
}

/** Reports bytes that are no message. */
export class DecodeError extends Error {}

class Reader {
  at = 0;
  readonly #bytes: Uint8Array;
  #end;

  constructor(bytes: Uint8Array, end = bytes.length) {
    this.#bytes = bytes;
    this.#end = end;
  }

  get more(): boolean {
    return this.at < this.#end;
  }

  varint(): number {
    let n = 0;
    for (let scale = 1, i = 0; i < 10; i++, scale *= 0x80) {
      if (this.at >= this.#end) throw new DecodeError("cut off");
      const b = this.#bytes[this.at++]!;
      n += (b & 0x7f) * scale;
      if (b < 0x80) return n < 2 ** 63 ? n : n - 2 ** 64;
    }
    throw new DecodeError("a number");
  }

  take(n: number): Uint8Array {
    if (!(n >= 0 && n <= this.#end - this.at)) throw new DecodeError("cut off");
    this.at += n;
    return this.#bytes.subarray(this.at - n, this.at);
  }

  message(place: number): Loose {
    const shape = shapeOf(place);
    const m = blank(shape);
    while (this.more) {
      const tag = this.varint();
      const f = shape.byNumber[Math.floor(tag / 8)];
      if (f === undefined || wireType(f) !== tag % 8) {
        this.#skip(tag % 8);
        continue;
      }
      const v = this.#value(f);
      if (f.many) (m[f.name] as unknown[]).push(v);
      else m[f.name] = v;
    }
    return m;
  }

  #value(f: Field): unknown {
    switch (f.type) {
      case "s": return textOf(this.take(this.varint()));
      case "y": return this.take(this.varint()).slice();
      case "f": {
        const b = this.take(8);
        return new DataView(b.buffer, b.byteOffset).getBigUint64(0, true);
      }
      case "b": return this.varint() !== 0;
      case "m": return this.sized(() => this.message(f.of));
      default: return this.varint();
    }
  }

  /** Reads what has its length before it. */
  sized<T>(body: () => T): T {
    const size = this.varint();
    if (!(size >= 0 && size <= this.#end - this.at)) throw new DecodeError("cut off");
    const outer = this.#end;
    this.#end = this.at + size;
    const v = body();
    this.#end = outer;
    return v;
  }

  #skip(type: number): void {
    if (type === 0) this.varint();
    else if (type === 1) this.take(8);
    else if (type === 2) this.take(this.varint());
    else if (type === 5) this.take(4);
    else throw new DecodeError("a wire type");
  }
}

function wireType(f: Field): number {
  return f.type === "f" ? 1 : f.type === "s" || f.type === "y" || f.type === "m" ? 2 : 0;
}

// ---------------------------------------------------------------------------
// JSON
// ---------------------------------------------------------------------------

function toJSON(place: number, m: Loose): Loose {
  const out: Loose = {};
  for (const f of shapeOf(place).fields) {
    const values = present(f, m);
    if (values.length === 0) continue;
    const mapped = values.map((v) => valueToJSON(f, v));
    out[f.name] = f.many ? mapped : mapped[0];
  }
  return out;
}

function valueToJSON(f: Field, v: unknown): unknown {
  switch (f.type) {
    case "m": return toJSON(f.of, v as Loose);
    case "y": return toBase64(v as Uint8Array);
    case "f":
    case "l": return String(v);
    case "e": return enums[f.of]!.split(",")[v as number] || v;
    default: return v;
  }
}

function fromJSON(place: number, json: unknown): Loose {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new DecodeError("no object");
  const shape = shapeOf(place);
  const m = blank(shape);
  for (const [key, v] of Object.entries(json)) {
    const f = shape.byName.get(key);
    if (f === undefined || v === null) continue;
    if (f.many !== Array.isArray(v)) throw new DecodeError("a list, or none, at " + key);
    m[key] = f.many ? (v as unknown[]).map((x) => valueFromJSON(f, x)) : valueFromJSON(f, v);
  }
  return m;
}

function valueFromJSON(f: Field, v: unknown): unknown {
  switch (f.type) {
    case "m": return fromJSON(f.of, v);
    case "y": return fromBase64(String(v));
    case "f": return BigInt(v as string);
    case "s": return String(v);
    case "b": return v === true;
    case "e": return typeof v === "number" ? v : Math.max(enums[f.of]!.split(",").indexOf(v as string), 0);
    default: return Number(v);
  }
}

// ---------------------------------------------------------------------------
// What goes into a WebSocket message, and what comes out of one
// ---------------------------------------------------------------------------

export type Subprotocol = "proto" | "json";

/** One message, as `join` wants it. */
export function encode<N extends Name>(subprotocol: Subprotocol, name: N, m: Init<Roots[N]>): Uint8Array<ArrayBuffer> {
  if (subprotocol === "json") return utf8(JSON.stringify(toJSON(roots[name], m as Loose)) + "\n");
  return concat(sized(write(roots[name], m as Loose)));
}

/** One request, as `join` wants it. */
export function encodeRequest(subprotocol: Subprotocol, request: Init<Request>): Uint8Array<ArrayBuffer> {
  return encode(subprotocol, "Request", request);
}

/** Puts what `encode` made into one WebSocket message. */
export function join(subprotocol: Subprotocol, parts: readonly Uint8Array[]): string | Uint8Array<ArrayBuffer> {
  const all = concat(parts);
  return subprotocol === "json" ? textOf(all) : all;
}

/** All messages of a name in one WebSocket message. It throws a DecodeError, or what JSON.parse does. */
export function decode<N extends Name>(name: N, payload: string | ArrayBuffer | Uint8Array): Roots[N][] {
  if (typeof payload === "string") {
    return payload.split("\n").filter((line) => line.trim() !== "").map((line) => fromJSON(roots[name], JSON.parse(line)) as unknown as Roots[N]);
  }
  const all: Roots[N][] = [];
  const r = new Reader(payload instanceof Uint8Array ? payload : new Uint8Array(payload));
  while (r.more) all.push(r.sized(() => r.message(roots[name])) as unknown as Roots[N]);
  return all;
}

/** All server messages of one WebSocket message. */
export function decodeServer(payload: string | ArrayBuffer | Uint8Array): ServerMessage[] {
  return decode("ServerMessage", payload);
}
