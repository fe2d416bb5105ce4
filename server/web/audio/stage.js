/**
 * The session that is looked at: its place in time, its controls, its sound in this browser, its spectrum and picture.
 *
 * It is followed over the socket, which brings each change and ten spectra a second; where that is refused it is asked for once a
 * second, and says so. What is heard begins with a press: no browser lets a page sound by itself.
 */

import { busy, h, put } from "/static/app/dom.js";
import { Player } from "/static/sangha.js";
import { inWords } from "./desk.js";
import { Spectrum } from "./spectrum.js";
import { Visual } from "./visual.js";
import { clock, nameOf, peaks, positionOf, soundOf, statusOf } from "./words.js";

/** @typedef {import("./desk.js").Session} Session */

const POLL_MS = 1000;
const WORDS_EVERY_MS = 1000;
const OVER = new Set(["stopped", "completed"]);

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const control = (/** @type {string} */ id) => /** @type {HTMLButtonElement} */ ($(id));
const slider = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ ($(id));

export class Stage {
  /** @param {import("./desk.js").Desk} desk @param {(session: Session) => void} changed @param {(trouble: string) => void} tell */
  constructor(desk, changed, tell) {
    this.desk = desk;
    this.changed = changed;
    this.tell = tell;
    this.over = new AbortController();
    this.spectrum = new Spectrum(/** @type {HTMLCanvasElement} */ ($("spectrum")));
    this.visual = new Visual(/** @type {any} */ ($("visual")), /** @type {any} */ ($("visual-kind")), this.over.signal);
    /** @type {Session | null} */
    this.session = null;
    /** @type {any} */
    this.sound = null;
    /** @type {any} */
    this.player = null;
    this.opening = 0;
    this.polling = 0;
    this.said = 0;
    this.wire();
    this.visual.draw();
  }

  wire() {
    const { signal } = this.over;
    const on = (/** @type {string} */ id, /** @type {() => Promise<void>} */ work) =>
      control(id).addEventListener("click", () => busy(control(id), () => this.attempt(work)).then(() => this.fit()), { signal });
    on("start", () => this.begin());
    on("pause", () => this.turn("pause"));
    on("stop", () => this.turn("stop"));
    on("hear", () => (this.player ? this.hush() : this.hear()));
    slider("volume").addEventListener("input", () => this.player && (this.player.volume = slider("volume").valueAsNumber / 100), { signal });
    slider("level").addEventListener("change", () => this.attempt(() => this.level()), { signal });
  }

  /** Looks at a session. @param {Session} session */
  async open(session) {
    const mine = ++this.opening;
    await this.close();
    if (mine !== this.opening) return;
    this.session = session;
    slider("level").valueAsNumber = session.volume * 100;
    $("controls").hidden = false;
    this.visual.show(session);
    this.show();
    try {
      const sound = await this.desk.client.listen(session.id, { codec: "auto", spectrum: true });
      if (mine !== this.opening) return void sound.unlisten();
      this.follow(sound);
    } catch (failure) {
      if (mine !== this.opening) return;
      this.tell(`The sound cannot be followed live: ${inWords(failure)}`);
      this.poll(mine);
    }
  }

  /** @param {any} sound */
  follow(sound) {
    this.sound = sound;
    const now = () => this.sound === sound;
    const state = () => now() && sound.state && this.know(sound.state);
    sound.addEventListener("snapshot", state);
    sound.addEventListener("event", state);
    sound.addEventListener("spectrum", (/** @type {any} */ { detail }) => now() && this.measured(detail));
    sound.addEventListener("left", (/** @type {any} */ { detail }) => now() && this.left(detail));
    state();
  }

  /** @param {number} mine */
  poll(mine) {
    this.polling = setTimeout(async () => {
      try {
        const session = this.session && (await this.desk.session(this.session.id));
        if (session && mine === this.opening) this.know(session);
      } catch {
        // the page's own state says that the server is away
      }
      if (mine === this.opening && this.session) this.poll(mine);
    }, POLL_MS);
  }

  async close() {
    clearTimeout(this.polling);
    const { sound } = this;
    this.sound = null;
    await this.hush();
    this.session = null;
    this.spectrum.clear();
    await sound?.unlisten().catch(() => {});
  }

  end() {
    this.opening += 1;
    this.over.abort();
    this.close();
    this.spectrum.end();
  }

  /** @param {any} detail */
  left({ reason }) {
    this.sound = null;
    this.hush();
    this.spectrum.clear();
    if (reason !== "left") this.tell("This session is not there any more.");
  }

  /** What is newer of it. @param {Session} session */
  know(session) {
    if (!this.session || session.id !== this.session.id) return;
    const before = this.session;
    this.session = session;
    if (before.audio_frequency !== session.audio_frequency) this.visual.show(session);
    if (before.volume !== session.volume) slider("level").valueAsNumber = session.volume * 100;
    if (session.status !== "running") this.spectrum.clear();
    this.show();
    this.changed(session);
  }

  /** @param {() => Promise<any>} work */
  async attempt(work) {
    this.tell("");
    try {
      await work();
    } catch (failure) {
      this.tell(inWords(failure));
    }
  }

  /** It runs, and is heard here. */
  async begin() {
    if (!this.session) return;
    const hearing = this.player ? null : this.hear(); // while the press still counts as one
    await this.turn("start");
    await hearing;
  }

  /** @param {"start" | "pause" | "stop"} what */
  async turn(what) {
    if (this.session) this.know(await this.desk.turn(this.session.id, what));
  }

  async level() {
    if (this.session) this.know(await this.desk.change(this.session.id, { volume: slider("level").valueAsNumber / 100 }));
  }

  async hear() {
    if (!this.sound) throw new Error("The sound is not there yet; try again in a moment.");
    const player = (this.player = new Player(this.sound, { volume: slider("volume").valueAsNumber / 100 }));
    player.addEventListener("state", (/** @type {any} */ { detail }) => {
      if (this.player !== player || detail.state === "playing") return;
      this.hush();
      if (detail.error) this.tell(`The sound cannot be played: ${inWords(detail.error)}`);
    });
    player.addEventListener("stats", () => this.player === player && this.played(player.stats));
    try {
      await player.start();
    } catch (failure) {
      if (this.player === player) await this.hush();
      throw failure;
    }
    this.fit();
  }

  async hush() {
    const { player } = this;
    this.player = null;
    $("heard").textContent = "";
    this.fit();
    await player?.stop();
  }

  /** @param {{played: number, lost: number, late: number, underruns: number}} stats */
  played({ lost, late, underruns }) {
    const gaps = lost + late + underruns;
    const words = gaps ? `Heard here; lost ${lost}, late ${late}, gaps ${underruns}.` : "Heard here, without a gap.";
    if ($("heard").textContent !== words) $("heard").textContent = words;
  }

  /** @param {{frequencies: number[], amplitudes: number[], bands: number[]}} measured */
  measured(measured) {
    this.spectrum.show(measured);
    if (performance.now() - this.said < WORDS_EVERY_MS) return;
    this.said = performance.now();
    const words = peaks(measured.frequencies, measured.amplitudes);
    $("peaks").textContent = words;
    $("spectrum").setAttribute("aria-label", `Spectrum. ${words}`);
  }

  /** All that it is. */
  show() {
    const { session } = this;
    if (!session) return;
    const title = nameOf(session);
    if ($("stage-title").textContent !== title) $("stage-title").textContent = title;
    document.title = `${title} · Sound · Sangha`;
    put($("notes"), session.notes.map((each) => h("li", null, each)));
    $("whole").textContent = clock(session.duration);
    this.fit();
    this.tick();
  }

  /** The time goes on. */
  tick() {
    const { session } = this;
    if (!session) return;
    const position = positionOf(session, this.desk.now());
    const words = `${soundOf(session)}; ${statusOf(session, position)}`;
    if ($("stage-says").textContent !== words) $("stage-says").textContent = words;
    $("elapsed").textContent = clock(position);
    /** @type {HTMLProgressElement} */ ($("progress")).value = position / session.duration;
    if (session.status === "running" && position >= session.duration) this.spectrum.clear();
  }

  /** Which controls there are now. */
  fit() {
    const { session } = this;
    if (!session) return;
    const running = session.status === "running";
    control("start").disabled = running;
    control("start").textContent = session.status === "paused" ? "Resume" : OVER.has(session.status) ? "Start anew" : "Start";
    control("pause").disabled = !running;
    control("stop").disabled = session.status === "created" || OVER.has(session.status);
    control("hear").setAttribute("aria-pressed", String(this.player !== null));
  }
}
