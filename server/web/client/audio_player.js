/**
 * Makes a `Sound` heard, at the moment at which the server's clock says that it sounds, so that all who listen hear it together.
 *
 *     const sound = await client.listen(session, { codec: "auto", spectrum: true });
 *     const player = new Player(sound);
 *     button.onclick = () => player.start();     // browsers let nothing sound before a gesture
 *
 * Frames wait in an AudioWorklet for their time. A run (from a discontinuity on) is anchored once to the audio clock and then is
 * as continuous as its samples; where the two clocks have drifted apart by more than `DRIFT_MAX_S`, it is anchored anew. Through a
 * loudspeaker that is slower than frames come ahead of their time (a wireless one) all would be too late: there it is heard later
 * than by others, by `stats.behindMs`.
 *
 * @module
 */

/** @typedef {import("./audio.js").Sound} Sound */
/** @typedef {import("./audio.js").Frame} Frame */

/** Far within the 20 ms by which listeners may differ, and far above what a clock is measured by. */
const DRIFT_MAX_S = 0.008;
/** So many frames are looked at before a drift is believed: one second. */
const DRIFT_FRAMES = 50;
/** What has been late without a break for so long is late because of the loudspeaker, and not of a moment's hindrance. */
const SLOW_AFTER_MS = 1000;
const SLOW_FRAMES = 25;
/** More than is lacking: the network's jitter. */
const SPARE_S = 0.06;
const VOLUME_RAMP_S = 0.03;
const STATS_EVERY_MS = 1000;
const FULL_SCALE = 32767;

/**
 * Events: `stats` with the counts, once a second; `state` with `{state: "playing" | "stopped" | "failed", error}`.
 */
export class Player extends EventTarget {
  #sound;
  /** @type {AudioContext | null} */ #context = null;
  /** @type {AudioWorkletNode | null} */ #node = null;
  /** @type {GainNode | null} */ #gain = null;
  /** @type {AudioDecoder | null} */ #decoder = null;
  /** @type {Frame[]} Frames that the decoder has. */ #decoding = [];
  /** @type {number | null} The sample of the audio clock at which position 0 of the run would have sounded. */ #origin = null;
  /** @type {number | null} */ #seq = null;
  #drift = 0;
  #drifted = 0;
  /** By how much later it is heard than it should be, in seconds. */ #behindS = 0;
  /** Frames too late without a break: since when (of this page's clock), how many, by how much at most. */
  #slow = { sinceMs: 0, frames: 0, lackS: 0 };
  #volume;
  #own;
  /** @type {any} */ #timer = null;
  #counts = { played: 0, lost: 0, late: 0, underruns: 0, bufferedMs: 0, behindMs: 0 };

  /**
   * @param {Sound} sound
   * @param {{context?: AudioContext, volume?: number}} [options] A context of one's own is not closed; its rate must be the sound's.
   */
  constructor(sound, { context, volume = 1 } = {}) {
    super();
    this.#sound = sound;
    this.#context = context ?? null;
    this.#own = context === undefined;
    this.#volume = volume;
    /** @type {AnalyserNode | null} Behind the volume: what is heard. */
    this.analyser = null;
    /** @type {"stopped" | "playing" | "failed"} */
    this.state = "stopped";
  }

  /** Frames played, lost on the way and too late; gaps in what was heard; what waits, and by how much it is heard later than by
   * others, in milliseconds. */
  get stats() {
    return { ...this.#counts };
  }

  /** 0 to 1. */
  get volume() {
    return this.#volume;
  }

  set volume(value) {
    this.#volume = Math.min(1, Math.max(0, value));
    if (this.#gain !== null) this.#gain.gain.setTargetAtTime(this.#volume, this.#gain.context.currentTime, VOLUME_RAMP_S / 3);
  }

  /** Begin to be heard. Call it from a gesture. Rejects where the browser has no audio, or no decoder of the sound's codec. */
  async start() {
    if (this.state === "playing") return;
    const { format } = this.#sound;
    if (format === null) throw new Error("the sound is not listened to");
    this.#context ??= new AudioContext({ sampleRate: format.rate, latencyHint: "interactive" });
    const context = this.#context;
    await context.resume();
    if (this.#node === null) await this.#connect(context);
    await this.#sound.measureClock();
    this.#becomes("playing");
    this.#behindS = this.#counts.behindMs = 0;
    this.#begin();
    this.#sound.addEventListener("frame", this.#onFrame);
    this.#sound.addEventListener("format", this.#onFormat);
    this.#sound.addEventListener("left", this.#onLeft);
    this.#timer = setInterval(() => this.#say("stats", this.stats), STATS_EVERY_MS);
  }

  /** Be heard no longer. The session goes on, and is still listened to. */
  async stop() {
    if (this.state === "playing") this.#becomes("stopped");
    this.#sound.removeEventListener("frame", this.#onFrame);
    this.#sound.removeEventListener("format", this.#onFormat);
    this.#sound.removeEventListener("left", this.#onLeft);
    clearInterval(this.#timer);
    this.#closeDecoder();
    this.#node?.port.postMessage({ type: "clear" });
    if (this.#context === null || !this.#own) return;
    const context = this.#context;
    this.#context = this.#node = this.#gain = this.analyser = null;
    await context.close();
  }

  // The graph

  /** @param {AudioContext} context */
  async #connect(context) {
    await context.audioWorklet.addModule(new URL("./audio_worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "sangha-player", { numberOfInputs: 0, outputChannelCount: [2] });
    this.#gain = new GainNode(context, { gain: this.#volume });
    this.analyser = new AnalyserNode(context, { fftSize: 2048 });
    node.connect(this.#gain).connect(this.analyser).connect(context.destination);
    node.port.onmessage = ({ data }) => Object.assign(this.#counts, data);
    this.#node = node;
  }

  // Frames

  #onFrame = (/** @type {any} */ { detail }) => this.#take(detail);
  #onFormat = () => this.#begin();
  #onLeft = () => void this.#fade();

  /** The stream has ended, with what was to sound now still waiting: it fades, as fast as a change of volume. */
  async #fade() {
    if (this.#gain !== null) {
      this.#gain.gain.setTargetAtTime(0, this.#gain.context.currentTime, VOLUME_RAMP_S / 3);
      await new Promise((resolve) => setTimeout(resolve, 2000 * VOLUME_RAMP_S));
    }
    await this.stop();
    this.volume = this.#volume; // of a context that is not ours, and stays
  }

  /** What comes is a run of its own. */
  #begin() {
    this.#origin = this.#seq = null;
    this.#closeDecoder();
  }

  /** @param {Frame} frame */
  #take(frame) {
    if (this.#seq !== null) this.#counts.lost += Math.max(0, frame.seq - this.#seq - 1);
    this.#seq = frame.seq;
    if (frame.discontinuity) {
      this.#origin = null;
      this.#closeDecoder();
    }
    if (this.#sound.codec === "opus") this.#decode(frame);
    else this.#play(frame, ...deinterleaved(frame));
  }

  /** @param {Frame} frame @param {Float32Array} left @param {Float32Array} right */
  #play(frame, left, right) {
    const context = this.#context;
    const node = this.#node;
    if (context === null || node === null) return;
    const due = this.#dueSample(context, frame);
    if (due !== null) {
      const wanted = due - frame.position;
      if (this.#origin === null) {
        this.#origin = wanted;
        this.#drift = this.#drifted = 0;
      }
      if (!frame.last) this.#follow(wanted - this.#origin, context.sampleRate);
    }
    if (this.#origin === null) return; // the fade of a pause comes behind the word of it: it sounds where its run is anchored
    const at = this.#origin + frame.position;
    this.#keepUp((at + left.length) / context.sampleRate - context.currentTime);
    node.port.postMessage({ type: "frame", at, left, right, last: frame.last }, [left.buffer, right.buffer]);
  }

  /** The sample of the audio clock at which a frame is to be heard; null while the session stands.
   * @param {AudioContext} context @param {Frame} frame */
  #dueSample(context, frame) {
    const { format } = this.#sound;
    if (format === null) return null;
    const inS = this.#sound.soundsInS((frame.position - format.delay_samples) / format.rate);
    if (inS === null) return null;
    return Math.round((heardNowS(context) + inS + this.#behindS) * context.sampleRate);
  }

  /** Later from now on, where each frame comes too late. @param {number} spareS Until this one had to be there. */
  #keepUp(spareS) {
    if (spareS > 0) {
      this.#slow = { sinceMs: performance.now(), frames: 0, lackS: 0 };
      return;
    }
    const slow = this.#slow;
    if (slow.frames === 0) slow.sinceMs = performance.now();
    slow.frames += 1;
    slow.lackS = Math.max(slow.lackS, -spareS);
    if (slow.frames < SLOW_FRAMES || performance.now() - slow.sinceMs < SLOW_AFTER_MS) return;
    this.#behindS += slow.lackS + SPARE_S;
    this.#counts.behindMs = Math.round(this.#behindS * 1000);
    this.#slow = { sinceMs: 0, frames: 0, lackS: 0 };
    this.#origin = null;
  }

  /** The clocks are this far apart, in samples: anchor anew where that is more than a moment's jitter.
   * @param {number} apart @param {number} rate */
  #follow(apart, rate) {
    this.#drift += apart;
    this.#drifted += 1;
    if (this.#drifted < DRIFT_FRAMES) return;
    const mean = this.#drift / this.#drifted;
    this.#drift = this.#drifted = 0;
    if (Math.abs(mean) > DRIFT_MAX_S * rate && this.#origin !== null) this.#origin += Math.round(mean);
  }

  // Opus

  /** @param {Frame} frame */
  #decode(frame) {
    this.#decoder ??= this.#newDecoder();
    this.#decoding.push(frame);
    const timestamp = Math.round((frame.position / 48000) * 1e6);
    this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp, data: frame.payload }));
  }

  #newDecoder() {
    const decoder = new AudioDecoder({
      output: (data) => this.#decoded(decoder, data),
      error: (error) => this.#failed(decoder, error),
    });
    decoder.configure({ codec: "opus", sampleRate: 48000, numberOfChannels: 2 });
    return decoder;
  }

  /** @param {AudioDecoder} decoder @param {AudioData} data */
  #decoded(decoder, data) {
    const frame = this.#decoder === decoder ? this.#decoding.shift() : undefined;
    if (frame !== undefined) {
      const channels = [0, 1].map((planeIndex) => {
        const plane = new Float32Array(data.numberOfFrames);
        data.copyTo(plane, { planeIndex: Math.min(planeIndex, data.numberOfChannels - 1), format: "f32-planar" });
        return plane;
      });
      this.#play(frame, channels[0], channels[1]);
    }
    data.close();
  }

  /** @param {AudioDecoder} decoder @param {DOMException} error */
  #failed(decoder, error) {
    if (this.#decoder !== decoder) return;
    this.#decoder = null;
    this.#decoding = [];
    this.#becomes("failed", error);
    void this.stop();
  }

  #closeDecoder() {
    if (this.#decoder !== null && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = null;
    this.#decoding = [];
  }

  // Events

  /** @param {"stopped" | "playing" | "failed"} state @param {Error | null} [error] */
  #becomes(state, error = null) {
    this.state = state;
    this.#say("state", { state, error });
  }

  /** @param {string} type @param {any} detail */
  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** The time of the audio clock that leaves the loudspeaker now, as far as the browser knows, in seconds. @param {AudioContext} context */
function heardNowS(context) {
  const { contextTime = 0, performanceTime = 0 } = context.getOutputTimestamp?.() ?? {};
  if (contextTime > 0) return contextTime + (performance.now() - performanceTime) / 1000;
  return context.currentTime - (context.outputLatency || context.baseLatency || 0);
}

/** @param {Frame} frame @returns {[Float32Array, Float32Array]} */
function deinterleaved({ payload, samples, channels }) {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const planes = [new Float32Array(samples), new Float32Array(samples)];
  for (let sample = 0; sample < samples; sample += 1) {
    for (let channel = 0; channel < 2; channel += 1) {
      const at = (sample * channels + Math.min(channel, channels - 1)) * 2;
      planes[channel][sample] = view.getInt16(at, true) / FULL_SCALE;
    }
  }
  return [planes[0], planes[1]];
}
