/**
 * The end of the way of a sound: frames wait here for the sample of the audio clock at which each is due.
 *
 * A ring of four seconds, addressed by that clock. What was not written when its time comes is silence; at the edges of a gap the
 * level moves over `RAMP` samples, so that a lost frame is a dip and not a click.
 */

const RING = 2 ** 18;
const RAMP = 128;
const TOLD_EVERY = 100;

class SanghaPlayer extends AudioWorkletProcessor {
  constructor() {
    super();
    this.left = new Float32Array(RING);
    this.right = new Float32Array(RING);
    this.filled = new Uint8Array(RING);
    /** The sample after the last that was written. */
    this.until = 0;
    /** The sample after which silence is meant. */
    this.ends = 0;
    this.level = 0;
    this.held = [0, 0];
    this.counts = { played: 0, late: 0, underruns: 0, bufferedMs: 0 };
    this.turns = 0;
    this.port.onmessage = ({ data }) => (data.type === "frame" ? this.write(data) : this.clear());
  }

  /** Silence from now on. */
  clear() {
    this.filled.fill(0);
    this.until = this.ends = 0;
  }

  /** A frame; what of it is late already is left out.
   * @param {{at: number, left: Float32Array, right: Float32Array, last: boolean}} frame `at`: a sample of the audio clock */
  write({ at, left, right, last }) {
    const from = Math.max(0, currentFrame - at);
    if (from >= left.length || at + left.length - currentFrame > RING) {
      this.counts.late += 1;
      return;
    }
    for (let n = from; n < left.length; n += 1) {
      const slot = (at + n) % RING;
      this.left[slot] = left[n];
      this.right[slot] = right[n];
      this.filled[slot] = 1;
    }
    this.counts.played += 1;
    this.until = Math.max(this.until, at + left.length);
    if (last) this.ends = at + left.length;
  }

  /** 128 samples. @param {Float32Array[][]} _inputs @param {Float32Array[][]} outputs */
  process(_inputs, [[left, right]]) {
    let missed = false;
    for (let n = 0; n < left.length; n += 1) {
      const slot = (currentFrame + n) % RING;
      if (this.filled[slot]) {
        this.filled[slot] = 0;
        this.level = Math.min(1, this.level + 1 / RAMP);
        this.held = [this.left[slot], this.right[slot]];
      } else {
        missed ||= this.level === 1 && currentFrame + n !== this.ends;
        this.level = Math.max(0, this.level - 1 / RAMP);
      }
      left[n] = this.held[0] * this.level;
      right[n] = this.held[1] * this.level;
    }
    this.counts.underruns += Number(missed);
    this.tell();
    return true;
  }

  tell() {
    this.turns += 1;
    if (this.turns % TOLD_EVERY !== 0) return;
    this.counts.bufferedMs = Math.max(0, ((this.until - currentFrame) / sampleRate) * 1000);
    this.port.postMessage(this.counts);
  }
}

registerProcessor("sangha-player", SanghaPlayer);
