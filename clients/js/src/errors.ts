import type { Failure, FailureCode } from "./api.js";

/** What calls of the client reject with. `code` says what to do about it. */
export class ParleyError extends Error implements Failure {
  override readonly name: string = "ParleyError";
  /** When the server wants to be asked again, in milliseconds; 0 if it said nothing. */
  readonly retryAfter: number;

  constructor(readonly code: FailureCode, message: string, options?: { cause?: unknown; retryAfter?: number }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfter = options?.retryAfter ?? 0;
  }

  /** The failure as a plain value, which can be stored and posted. */
  toFailure(): Failure {
    return { code: this.code, message: this.message };
  }
}

/** The store failed: it is full, broken, erased, or another's. */
export class StoreError extends ParleyError {
  override readonly name = "StoreError";

  /**
   * `lost` says that the store is there and was emptied by somebody: what the client
   * has in memory may be written anew.
   */
  constructor(
    override readonly code: "store_full" | "store_broken" | "other_user" | "erased" | "replaced",
    message: string,
    cause?: unknown,
    readonly lost = false,
  ) {
    super(code, message, cause === undefined ? undefined : { cause });
  }
}

/** What anything that was thrown says. */
export const reasonOf = (e: unknown): string => String((e as Error | null)?.message ?? e);
export const tokenError = (cause: unknown): ParleyError => new ParleyError("token", "no token: " + reasonOf(cause), { cause });
export const closedError = (): ParleyError => new ParleyError("closed", "the client was closed");
export const erasedError = (): StoreError => new StoreError("erased", "the store was erased");
