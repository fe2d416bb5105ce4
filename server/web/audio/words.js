/**
 * How sounds, sessions and the sky are said. No element is made here.
 */

/** @typedef {import("./desk.js").Session} Session */

/** @type {Record<string, string>} */
export const KINDS = {
  prayer_bowl: "Singing bowl",
  pure_sine: "Sine",
  solfeggio: "Solfeggio",
  binaural: "Binaural beat",
  chord: "Chord",
};
export const SOLFEGGIO = [174, 285, 396, 417, 528, 639, 741, 852, 963];
/** @type {[number, string][]} */
export const PRESETS = [[136.1, "Earth year"], [432, ""], [528, ""]];
export const SEMITONES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];
const STATUSES = { created: "not begun", running: "running", paused: "paused", stopped: "stopped", completed: "completed" };

const HZ = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

/** @param {number} frequency */
export const hertz = (frequency) => `${HZ.format(frequency)} Hz`;

/** What sounds: "Singing bowl, 432 Hz". @param {Session} session */
export function soundOf(session) {
  const all = session.frequencies;
  const which = all.length > 3 ? `${all.length} frequencies` : all.map(hertz).join(", ");
  return `${KINDS[session.audio_type] ?? session.audio_type}, ${which}`;
}

/** What it is called. @param {Session} session */
export const nameOf = (session) => session.name || session.intention || KINDS[session.audio_type] || "Session";

/** Minutes and seconds, of an hour and more with hours. @param {number} seconds */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/**
 * How it is with a session: "running, 9:41 left".
 * @param {Session} session @param {number} position Seconds from its start.
 */
export function statusOf(session, position) {
  const words = STATUSES[session.status] ?? session.status;
  const left = session.duration - position;
  if (session.status === "created") return `${words}, ${clock(session.duration)}`;
  return session.status === "running" || session.status === "paused" ? `${words}, ${clock(left)} left` : words;
}

/**
 * Where in it one is at a time, as the server computes it (actors/audio/timeline.py).
 * @param {Session} session @param {number} now Epoch ms, by the server's clock.
 */
export function positionOf({ timeline, duration }, now) {
  const ran = timeline.anchor_at === null ? 0 : Math.max(0, (now - Date.parse(timeline.anchor_at)) / 1000);
  return Math.min(timeline.position_s + ran, duration);
}

/** The nearest note of equal temperament, A4 = 440 Hz: "A4 −32 ct". @param {number} frequency */
export function note(frequency) {
  const exact = 69 + 12 * Math.log2(frequency / 440);
  const nearest = Math.round(exact);
  const cents = Math.round((exact - nearest) * 100);
  const name = `${SEMITONES[((nearest % 12) + 12) % 12]}${Math.floor(nearest / 12) - 1}`;
  return cents === 0 ? name : `${name} ${cents < 0 ? "−" : "+"}${Math.abs(cents)} ct`;
}

/** A linear amplitude as dBFS. @param {number} amplitude */
export const decibels = (amplitude) => `${(20 * Math.log10(Math.max(amplitude, 1e-6))).toFixed(1).replace("-", "−")} dB`;

/** What is loudest, in words. @param {number[]} frequencies @param {number[]} amplitudes */
export function peaks(frequencies, amplitudes) {
  if (!frequencies.length) return "Nothing sounds at this moment.";
  const first = `${frequencies[0].toFixed(1)} Hz (${note(frequencies[0])}) at ${decibels(amplitudes[0])}`;
  const others = frequencies.slice(1, 5).map((each) => `${each.toFixed(1)}`);
  return `Measured: ${first}${others.length ? `; then ${others.join(", ")} Hz` : ""}.`;
}

const capital = (/** @type {string} */ word) => word && word[0].toUpperCase() + word.slice(1);

/** The sky in a line, of what `/api/v1/astrology/current` says. @param {any} astrology */
export function skyLine(astrology) {
  const { moon_phase: moon, planetary_positions: bodies } = astrology;
  const back = Object.values(bodies).filter(({ retrograde }) => retrograde).map(({ body }) => capital(body));
  const degree = (/** @type {{degree: number, sign: string}} */ at) => `${Math.floor(at.degree)}° ${capital(at.sign)}`;
  const line = `Moon ${moon.phase_name.toLowerCase()}, ${Math.round(moon.illumination)} % lit, at ${degree(moon)}; Sun at ${degree(bodies.sun)}`;
  return `${line}${back.length ? `; retrograde: ${back.join(", ")}` : ""}.`;
}
