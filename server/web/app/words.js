// How things are said: errors, times, numbers, names. No element is made here.

const ERRORS = {
  bad_request: "The server did not understand this request.",
  invalid: "Something here is not as it should be.",
  unauthenticated: "You are not signed in, or no longer.",
  forbidden: "This is not yours to do.",
  not_found: "There is no such thing, or it is not open to you.",
  conflict: "Something else stands in the way.",
  full: "There is no place left.",
  too_large: "This is too long.",
  rate_limited: "That was a little fast. Take a breath and try again.",
  timeout: "The answer takes longer than expected.",
  storage_unavailable: "The server cannot reach its memory just now. Nothing was changed.",
  actor_unavailable: "This place is moving to another process. Try again in a moment.",
  ritual_failed: "The ritual did not come to its end. Your state is as it was.",
  ritual_rejected: "This module cannot be taken in.",
  draining: "The server is restarting. It will be back in a moment.",
  internal: "Something went wrong on the server.",
  connection_lost: "The server cannot be reached.",
  outcome_unknown: "The line broke while this was on its way; it may or may not have arrived.",
  request_timeout: "The answer takes longer than expected.",
  overflow: "Too much is waiting at once.",
};

/** Where the error's own words are for programs, or say the same again. */
const PLAIN = new Set(["rate_limited", "connection_lost", "not_found"]);

/** An error as a sentence or two; the server's own words follow ours where they say more. Code "said": it is one already. */
export function inWords(error) {
  if (!error?.code) return error?.message ? `That did not work: ${error.message}` : "That did not work.";
  if (error.code === "said") return error.message;
  const wait = error.retryAfterS > 1 ? ` Try again in ${duration(error.retryAfterS)}.` : "";
  const detail = PLAIN.has(error.code) || !error.message ? "" : ` (${error.message})`;
  return `${ERRORS[error.code] ?? "That did not work."}${detail}${wait}`;
}

/** "in 2 min", "40 s" … */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  return whole < 172_800 ? `${Math.round(whole / 3600)} h` : `${Math.round(whole / 86_400)} days`;
}

/** Minutes and seconds of a countdown. */
export function clock(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const timeOfDay = (at) => TIME.format(new Date(at));
export const dayOf = (at) => DAY.format(new Date(at));
export const dateTime = (at) => FULL.format(new Date(at));

/** A strength, a level, a coherence: two digits. */
export const two = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

/** A change, with its sign (a real minus). */
export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

/** "shadow_integration" → "Shadow integration". What a person named with spaces or capitals stays as it is. */
export function title(text) {
  if (!/^[a-z0-9]+(_[a-z0-9]+)*$/.test(text)) return text;
  const words = text.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

/** Who somebody is, where all that may be known is an id. */
export const callThem = (name) => (name ? name : "Someone");

/** One or two letters for a dot. */
export function initials(name) {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...word][0]);
  return letters.join("").toUpperCase() || "·";
}

/** "Ana", "Ana and Bo", "Ana, Bo and 3 others". */
export function list(names, most = 4) {
  const shown = names.length > most ? [...names.slice(0, most - 1), `${names.length - most + 1} others`] : names;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

export const ACCESS = {
  open: { label: "Open", says: "anyone may enter" },
  invite: { label: "By invitation", says: "listed; you invite who may enter" },
  private: { label: "Private", says: "not listed; you invite who may enter" },
};
export const DIFFICULTIES = ["beginner", "intermediate", "advanced", "master"];
export const TRADITIONS = ["alchemical", "contemplative", "elemental", "jungian", "shamanic"];
