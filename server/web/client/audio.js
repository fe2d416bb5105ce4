/**
 * An audio session that a client listens to: its state, its spectrum, its sound as frames of 20 ms. `Player` makes them heard.
 *
 * @module
 */

import { Followed } from "./followed.js";

/** @typedef {import("./connection.js").Client} Client */
/** @typedef {import("./state.js").Push} Push */
/** @typedef {"pcm" | "opus"} Codec */

/**
 * @typedef {object} Format What `audio.listen` was answered with. A frame at `position` sounds when the session's timeline is at
 *   (`position` − `delay_samples`) / `rate` seconds.
 * @property {string} session
 * @property {number} stream
 * @property {Codec} codec
 * @property {number} rate
 * @property {number} channels
 * @property {number} frame_samples
 * @property {number} delay_samples
 * @property {number} ahead_ms
 */

/**
 * @typedef {object} Frame
 * @property {number} stream
 * @property {number} seq Counts what the server sent on the stream, modulo 2³².
 * @property {number} position Of its first sample, in samples at the format's rate.
 * @property {number} samples In each channel.
 * @property {number} channels
 * @property {boolean} discontinuity Not the continuation of the frame before.
 * @property {boolean} last It fades out, and nothing follows until the session goes on.
 * @property {Uint8Array} payload
 */

const MAGIC = 0x5341;
const VERSION = 1;
const HEADER_BYTES = 24;
const DISCONTINUITY = 1;
const LAST = 2;

/** A frame of sound from a binary message; null where it is none that we know. @param {ArrayBuffer} data @returns {Frame | null} */
export function readFrame(data) {
  if (data.byteLength < HEADER_BYTES) return null;
  const view = new DataView(data);
  if (view.getUint16(0) !== MAGIC || view.getUint8(2) !== VERSION) return null;
  const flags = view.getUint8(23);
  return {
    stream: view.getUint32(4),
    seq: view.getUint32(8),
    position: Number(view.getBigUint64(12)),
    samples: view.getUint16(20),
    channels: view.getUint8(22),
    discontinuity: (flags & DISCONTINUITY) !== 0,
    last: (flags & LAST) !== 0,
    payload: new Uint8Array(data, HEADER_BYTES),
  };
}

/** Whether this browser decodes Opus by itself. */
export async function decodesOpus() {
  if (typeof globalThis.AudioDecoder !== "function") return false;
  try {
    const config = { codec: "opus", sampleRate: 48000, numberOfChannels: 2 };
    return (await AudioDecoder.isConfigSupported(config)).supported === true;
  } catch {
    return false;
  }
}

/**
 * Events: those of `Followed` (`event`s are `changed`, with the whole session as `body`, and `deleted`), and
 *
 * | type | detail |
 * |---|---|
 * | `format` | `Format`, whenever it is listened to anew: after a reconnect the stream has another number |
 * | `frame` | `Frame`; up to `ahead_ms` before it sounds |
 * | `spectrum` | `{frequencies, amplitudes, bands, position_s, at}`, ten times a second, if it was asked for |
 *
 * `state` is the newest `AudioSession`.
 */
export class Sound extends Followed {
  /**
   * @param {Client} client
   * @param {string} session
   * @param {{codec: Codec, spectrum: boolean}} options
   */
  constructor(client, session, { codec, spectrum }) {
    super(client, "audio_session", session, undefined);
    this.codec = codec;
    this.spectrum = spectrum;
    /** @type {Format | null} */
    this.format = null;
  }

  /** @internal */
  get fields() {
    return { session: this.id, codec: this.codec, spectrum: this.spectrum };
  }

  /** When a position of the session, in seconds, sounds: the server's epoch milliseconds; null while the session stands.
   * @param {number} positionS */
  soundsAtMs(positionS) {
    const { timeline, status } = this.state ?? {};
    if (status !== "running" || !timeline?.anchor_at) return null;
    return Date.parse(timeline.anchor_at) + (positionS - timeline.position_s) * 1000;
  }

  /** In how many seconds a position sounds (less than 0: it has); null while the session stands. @param {number} positionS */
  soundsInS(positionS) {
    const atMs = this.soundsAtMs(positionS);
    return atMs === null ? null : (atMs - this.client.serverTime()) / 1000;
  }

  /** Know the server's clock well enough to play by it. */
  measureClock() {
    return this.client.measureClock();
  }

  /** Where the session is now, in seconds. */
  positionS() {
    const { timeline, recipe } = this.state ?? {};
    if (!timeline) return 0;
    const anchor = timeline.anchor_at ? Date.parse(timeline.anchor_at) : null;
    const ranS = anchor === null ? 0 : Math.max(0, this.client.serverTime() - anchor) / 1000;
    return Math.min(timeline.position_s + ranS, recipe.duration_s);
  }

  /** Listen no longer. */
  unlisten() {
    return this.leaveWith("audio.unlisten");
  }

  /** @param {Format} format @internal */
  tuned(format) {
    this.format = format;
    this.say("format", format);
  }

  /** @param {Frame} frame @internal */
  heard(frame) {
    if (!this.isHeld) this.say("frame", frame);
  }

  /** @param {string} type @param {any} detail @protected */
  say(type, detail) {
    if (type === "event" && detail.event === "changed") this.state = detail.body;
    super.say(type, detail);
  }

  /** @param {Push} push @protected */
  unnumbered(push) {
    this.say(push.event === "spectrum" ? "spectrum" : "push", push);
  }
}
