/**
 * The session that is looked at: its place in time, its controls, its sound in this browser, its spectrum and picture.
 *
 * It is followed over the socket, which brings each change and ten spectra a second; where that is refused it is asked for once a
 * second, and says so. What is heard begins with a press: no browser lets a page sound by itself.
 */

import { busy, h, put } from "/static/app/dom.js";
import { Player } from "/static/sangha.js";
import { inWords } from "./desk.js";
import { Spaces } from "./spaces.js";
import { Spectrum } from "./spectrum.js";
import { Visual } from "./visual.js";
import { clock, nameOf, peaks, positionOf, soundOf, statusOf } from "./words.js";

/** @typedef {import("./desk.js").Session} Session */

const POLL_MS = 1000;
const WORDS_EVERY_MS = 1000;
const QUIET = "What sounds is measured ten times a second.";
const OVER = new Set(["stopped", "completed"]);

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const control = (/** @type {string} */ id) => /** @type {HTMLButtonElement} */ ($(id));
const slider = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ ($(id));

export class Stage {
  /**
   * @param {import("./desk.js").Desk} desk
   * @param {object} told
   * @param {(session: Session) => void} told.changed
   * @param {(session: Session) => void} told.deleted
   * @param {(trouble: string) => void} told.tell
   * @param {() => void} told.listed Another list of sessions is wanted.
   */
  constructor(desk, { changed, deleted, tell, listed }) {
    this.desk = desk;
    this.changed = changed;
    this.deleted = deleted;
    this.tell = tell;
    this.over = new AbortController();
    this.spaces = new Spaces(this.over.signal, { listed, shared: (space) => this.attempt(() => this.share(space)) });
    /** How it is with the server's device. */
    this.device = "";
    /** @type {Set<string>} Sessions that are not heard here unless one asks for it. */
    this.elsewhere = new Set();
    this.spectrum = new Spectrum(/** @type {HTMLCanvasElement} */ ($("spectrum")));
    this.visual = new Visual(/** @type {any} */ ($("visual")), /** @type {any} */ ($("visual-kind")), this.over.signal);
    /** @type {Session | null} */
    this.session = null;
    /** @type {any} */
    this.sound = null;
    /** @type {any} */
    this.player = null;
    /** @type {Promise<void>} Until it is known whether the session can be followed. */
    this.listening = Promise.resolve();
    this.opening = 0;
    this.polling = 0;
    this.said = 0;
    /** Whoever presses "Delete" once more means it. */
    this.sure = false;
    /** @type {string | null} What is deleted here, and so is no trouble where it ends. */
    this.deleting = null;
    /** It ended for us while it was looked at. */
    this.gone = false;
    this.wire();
    this.visual.draw();
  }

  wire() {
    const { signal } = this.over;
    const on = (/** @type {string} */ id, /** @type {() => Promise<void>} */ work) =>
      control(id).addEventListener("click", () => busy(control(id), () => this.attempt(work)).then(() => this.pressed(id)), { signal });
    on("start", () => this.begin());
    on("pause", () => this.turn("pause"));
    on("stop", () => this.turn("stop"));
    on("delete", () => this.delete());
    control("delete").addEventListener("blur", () => this.doubt(false), { signal });
    on("hear", () => (this.player ? this.hush() : this.hear()));
    slider("volume").addEventListener("input", () => this.player && (this.player.volume = slider("volume").valueAsNumber / 100), { signal });
    slider("level").addEventListener("change", () => this.attempt(() => this.level()), { signal });
  }

  /** A button that is busy loses the focus: it comes back, or goes to what can be pressed next. @param {string} id */
  pressed(id) {
    this.fit();
    if (document.activeElement !== document.body || $("controls").hidden) return;
    const next = [id, "pause", "start", "hear"].map(control).find((each) => !each.disabled && !each.hidden);
    next?.focus({ preventScroll: true });
  }

  /** Looks at a session. @param {Session} session */
  async open(session) {
    const mine = ++this.opening;
    await this.close();
    if (mine !== this.opening) return;
    this.session = session;
    this.gone = false;
    slider("level").valueAsNumber = session.volume * 100;
    $("controls").hidden = false;
    this.visual.show(session);
    this.show();
    const listening = this.desk.client.listen(session.id, { codec: "auto", spectrum: true });
    this.listening = listening.then(() => {}, () => {});
    try {
      const sound = await listening;
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
    sound.addEventListener("event", (/** @type {any} */ { detail }) => (detail.event === "deleted" ? now() && this.left({ reason: "deleted" }) : state()));
    sound.addEventListener("spectrum", (/** @type {any} */ { detail }) => now() && this.measured(detail));
    sound.addEventListener("push", (/** @type {any} */ { detail }) => now() && this.told(detail));
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
    this.quiet();
    await sound?.unlisten().catch(() => {});
  }

  /** No session is looked at. */
  async nothing() {
    this.opening += 1;
    await this.close();
    this.bare();
    $("stage-title").focus({ preventScroll: true });
  }

  /** Nothing is seen of a session. */
  bare() {
    $("controls").hidden = true;
    put($("notes"));
    $("stage-title").textContent = "Nothing sounds";
    $("stage-says").textContent = "Make a session, or pick one from the list.";
    document.title = "Sound · Sangha";
    this.visual.show(null);
  }

  end() {
    this.opening += 1;
    this.over.abort();
    this.close();
    this.session = null; // at once: nothing that comes late is shown
    this.spaces.about(null);
    this.bare();
    this.spectrum.end();
  }

  /** @param {any} detail */
  left({ reason }) {
    this.sound = null;
    this.hush();
    this.quiet();
    if (reason === "left" || !this.session) return;
    if (this.deleting === this.session.id) return;
    this.tell(`This session is not ${reason === "forbidden" ? "shared with you" : "there"} any more.`);
    this.gone = true;
    this.fit();
    this.tick();
  }

  /** What is no event: there is no place for its sound now. @param {any} push */
  told({ event, body }) {
    if (event === "unheard") this.tell(`It cannot be heard here just now: ${inWords(body)}`);
  }

  /** What is newer of it. @param {Session} session */
  know(session) {
    if (!this.session || session.id !== this.session.id) return;
    const before = this.session;
    this.session = session;
    if (before.audio_frequency !== session.audio_frequency) this.visual.show(session);
    if (before.volume !== session.volume) slider("level").valueAsNumber = session.volume * 100;
    if (session.status !== "running") this.quiet();
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
    const here = !this.player && !this.elsewhere.has(this.session.id);
    const hearing = here ? this.hear() : null; // while the press still counts as one
    hearing?.catch(() => {}); // it is said below, once it runs
    await this.turn("start");
    await hearing;
  }

  /** @param {"start" | "pause" | "stop"} what */
  async turn(what) {
    if (this.session) this.know(await this.desk.turn(this.session.id, what));
  }

  /** The first press asks whether one is sure. */
  async delete() {
    const { session } = this;
    if (!session) return;
    if (!this.sure) return this.doubt(true);
    this.doubt(false);
    this.deleting = session.id;
    await this.desk.delete(session.id);
    if (this.session?.id === session.id) await this.nothing();
    this.deleted(session);
  }

  /** @param {boolean} asked */
  doubt(asked) {
    this.sure = asked;
    control("delete").textContent = asked ? "Delete for good?" : "Delete";
  }

  /** @param {string | null} space */
  async share(space) {
    if (this.session) this.know(await this.desk.share(this.session.id, space));
  }

  async level() {
    if (this.session) this.know(await this.desk.change(this.session.id, { volume: slider("level").valueAsNumber / 100 }));
  }

  async hear() {
    const { session } = this;
    await this.listening; // pressed at once, it is still on its way
    if (this.player || session?.id !== this.session?.id) return;
    if (!this.sound) throw new Error("This sound cannot be heard just now.");
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

  /** @param {{lost: number, underruns: number, behindMs: number}} stats */
  played({ lost, underruns, behindMs }) {
    const gaps = Math.max(lost, underruns); // what came late at the very beginning is none
    const how = gaps ? `with ${gaps === 1 ? "one gap" : `${gaps} gaps`} so far` : "without a gap";
    const late = behindMs ? ` The loudspeaker is slow: it is heard ${(behindMs / 1000).toFixed(1)} s after the others.` : "";
    const words = this.desk.client.state === "ready" ? `Heard here, ${how}.${late}` : "Nothing comes from the server now.";
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

  /** Nothing is measured now. */
  quiet() {
    this.spectrum.clear();
    this.said = 0;
    if ($("peaks").textContent !== QUIET) $("peaks").textContent = QUIET;
    $("spectrum").setAttribute("aria-label", "Spectrum: nothing sounds");
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
    this.spaces.about(this.desk.owns(session) ? session : null);
    this.there();
    this.fit();
    this.tick();
  }

  /** How it is with it on the server's device. */
  there() {
    const { session } = this;
    if (!session) return;
    const words = session.device_error ?? this.device;
    $("there").hidden = session.device === null;
    $("there").textContent = `On the server’s sound device${words ? `: ${words}` : ""}.`;
  }

  /** The time goes on. */
  tick() {
    const { session } = this;
    if (!session) return;
    const position = positionOf(session, this.desk.now());
    const shared = session.space && !this.gone ? `; shared with ${this.spaces.nameOf(session.space)}` : "";
    const words = `${soundOf(session)}; ${this.gone ? "gone" : statusOf(session, position)}${shared}`;
    if ($("stage-says").textContent !== words) $("stage-says").textContent = words;
    if (this.gone) return;
    $("elapsed").textContent = clock(position);
    /** @type {HTMLProgressElement} */ ($("progress")).value = position / session.duration;
    if (session.status === "running" && position >= session.duration) this.quiet();
  }

  /** Which controls there are now. */
  fit() {
    const { session } = this;
    if (!session) return;
    const running = session.status === "running";
    const mine = this.desk.owns(session);
    for (const id of ["start", "pause", "stop"]) control(id).hidden = !mine;
    control("delete").hidden = !mine || this.gone || running;
    $("level-field").hidden = !mine;
    control("start").disabled = this.gone || running;
    control("start").textContent = session.status === "paused" ? "Resume" : OVER.has(session.status) ? "Start anew" : "Start";
    control("pause").disabled = this.gone || !running;
    control("stop").disabled = this.gone || session.status === "created" || OVER.has(session.status);
    control("hear").disabled = this.gone;
    control("hear").classList.toggle("primary", !mine && this.player === null);
    control("hear").setAttribute("aria-pressed", String(this.player !== null));
  }
}
