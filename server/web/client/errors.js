/**
 * What goes wrong, with the stable codes of the protocol. Beside the server's own codes stand the client's:
 *
 * - `connection_lost`     closed, given up, or a lossy request's connection went
 * - `outcome_unknown`     the session went while the request was on its way: it may have been done, or not
 * - `request_timeout`     `timeoutMs` went by; the request may or may not have been done
 * - `overflow`            too much waits: requests unsent, or events unread
 * - `protocol_violation`  the server said what the protocol does not allow
 *
 * @module
 */

/** @typedef {{path: string, message: string}} FieldError What was wrong with one field. */

/** An error of the server's or of the client's. `code` is for programs, `message` for people. */
export class SanghaError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{retryable?: boolean, errors?: FieldError[], retryAfterS?: number, status?: number}} [more]
   */
  constructor(code, message, { retryable = false, errors = [], retryAfterS, status } = {}) {
    super(message);
    this.name = "SanghaError";
    /** @readonly */
    this.code = code;
    /** Whether the same request may succeed later. @readonly */
    this.retryable = retryable;
    /** The fields that were wrong. @readonly */
    this.errors = errors;
    /** How long to wait before trying again, where the server said. @readonly */
    this.retryAfterS = retryAfterS;
    /** The HTTP status, where the error came over HTTP. @readonly */
    this.status = status;
  }
}

/** @param {string} message */
export const connectionLost = (message) => new SanghaError("connection_lost", message, { retryable: true });

/** @param {string} message */
export const violation = (message) => new SanghaError("protocol_violation", message);

/**
 * The error that the server wrote, in a frame or in a problem document.
 * @param {Record<string, any>} body
 * @param {number} [status]
 */
export function errorOf(body, status) {
  return new SanghaError(String(body.code ?? "internal"), String(body.message ?? body.detail ?? ""), {
    retryable: Boolean(body.retryable),
    errors: body.errors ?? [],
    retryAfterS: retryAfterS(body) || undefined,
    status,
  });
}

/**
 * The wait that an error asks for, in seconds; 0 where it says nothing.
 * @param {Record<string, any>} body
 */
export function retryAfterS(body) {
  if (body.retry_after_ms !== undefined) return Number(body.retry_after_ms) / 1000;
  return Number(body.retry_after_s ?? body.retry_after ?? 0) || 0;
}
