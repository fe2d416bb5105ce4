/**
 * The page of sound: who listens, what sessions there are, and the one that is looked at.
 *
 * The login is the one of the page at `/`, kept in this tab; a server with a local user needs none. It goes on looking while the
 * server is away.
 */

import { applyTheme, LABELS, nextTheme, setTheme, theme } from "/static/app/theme.js";
import { device, tab } from "/static/app/storage.js";
import { askHttp, httpUrl } from "/static/sangha.js";
import { AWAY, Desk, inWords } from "./desk.js";
import { List } from "./list.js";
import { Maker } from "./maker.js";
import { Stage } from "./stage.js";
import { skyLine } from "./words.js";

/** @typedef {import("./desk.js").Session} Session */

const KEY = "sangha.token";
const LIST_MS = 5000;
const TICK_MS = 500;
const DEVICE_MS = 10_000;
/** The first question begins the search. */
const DEVICE_FOUND_MS = 3000;
const SPACES_MS = 20_000;
const SKY_MS = 300_000;
const SIGN_IN_MS = 15_000;
/** Whoever goes while the server is away is gone here all the same. */
const LOGOUT_MS = 3000;

const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

class Page {
  /** @param {Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.ended = false;
    /** @type {number[]} */
    this.timers = [];
    this.list = new List($("sessions"), $("none"), (session) => this.look(session));
    this.stage = new Stage(desk, {
      changed: (session) => this.changed(session),
      deleted: () => this.relist(),
      tell: trouble,
      listed: () => this.relist(),
    });
    this.spaces = this.stage.spaces;
  }

  /** Rejects where this login does not do. */
  async start() {
    await this.refresh();
    this.desk.client.addEventListener("state", () => this.connection());
    this.desk.client.addEventListener("practitioner", () => this.stage.show());
    this.desk.client.open().then(() => this.desk.client.measureClock()).catch((failure) => trouble(inWords(failure)));
    this.timers.push(
      setTimeout(() => this.device(), DEVICE_FOUND_MS),
      setInterval(() => this.tick(), TICK_MS),
      setInterval(() => seen() && this.refresh().catch(() => {}), LIST_MS),
      setInterval(() => seen() && this.device(), DEVICE_MS),
      setInterval(() => seen() && this.joined(), SPACES_MS),
      setInterval(() => seen() && this.sky(), SKY_MS),
    );
    this.sky();
  }

  /** The list as it is now. */
  async refresh() {
    const { whose, nothing } = this.spaces;
    const sessions = await this.desk.sessions(whose);
    if (!this.ended && whose === this.spaces.whose) this.list.show(sessions, this.desk.now(), nothing);
  }

  /** What is known newer of one, in the list where it belongs. @param {Session} session */
  changed(session) {
    const { whose } = this.spaces;
    if (whose ? session.space === whose : this.desk.owns(session)) this.list.update(session, this.desk.now());
  }

  /** Another list. */
  async relist() {
    trouble("");
    try {
      await this.refresh();
    } catch (failure) {
      trouble(`Their sessions cannot be listed: ${inWords(failure)}`);
    }
  }

  /** The spaces that we are in. */
  async joined() {
    try {
      const spaces = await this.desk.spaces();
      if (!this.ended) this.spaces.show(spaces);
    } catch {
      // asked again soon; the page's own state says whether the server is away
    }
  }

  tick() {
    this.list.tick(this.desk.now());
    this.stage.tick();
  }

  connection() {
    if (this.ended) return;
    const { state: how, error } = this.desk.client;
    if (how !== "ready") this.stage.quiet();
    if (how === "ready") this.back();
    else if (how === "closed") state("away", error?.message ?? "not connected");
    else state("away", how === "connecting" ? "connecting" : "no connection, trying again");
  }

  /** The server is there, maybe again. */
  back() {
    state("well", "connected");
    if ($("trouble").textContent === AWAY) trouble("");
    this.device();
    this.joined();
  }

  /** @param {Record<string, any>} fields */
  async make(fields) {
    const session = await this.desk.make(fields);
    if (!maker.here) this.stage.elsewhere.add(session.id);
    if (this.spaces.whose) {
      this.spaces.own();
      await this.refresh();
    }
    this.changed(session);
    this.look(session);
    $("stage-title").focus({ preventScroll: true });
    $("stage-title").scrollIntoView({ block: "nearest" });
  }

  /** @param {Session} session */
  look(session) {
    trouble("");
    this.list.choose(session.id);
    this.stage.open(session);
  }

  async device() {
    try {
      const { device: is } = await this.desk.ask("GET", "/api/v1/audio/status");
      maker.device(`Device ${is.device}: ${is.status}`, is.present);
      this.stage.device = is.status;
    } catch (failure) {
      maker.device(`The server’s sound device is unknown: ${inWords(failure)}`, true);
      this.stage.device = "";
    }
    this.stage.there();
  }

  async sky() {
    try {
      const { astrology } = await this.desk.ask("GET", "/api/v1/astrology/current");
      $("sky").textContent = skyLine(astrology);
    } catch (failure) {
      $("sky").textContent = `Unknown: ${inWords(failure)}`;
    }
  }

  end() {
    this.ended = true;
    for (const timer of this.timers) clearTimeout(timer);
    this.list.end();
    this.stage.end();
    this.desk.end();
  }
}

const seen = () => document.visibilityState === "visible";

/** @type {Page | null} */
let page = null;
const maker = new Maker(async (fields) => page?.make(fields), trouble);

/** @param {string} how @param {string} words */
function state(how, words) {
  const badge = $("state");
  badge.dataset.state = how;
  if (badge.textContent !== words) badge.textContent = words;
}

/** @param {string} words Empty: all is well again. */
function trouble(words) {
  $("trouble").hidden = !words;
  $("trouble").textContent = words;
}

/** Opens the page with a login; where none is given, as the local user, if there is one. @param {string} token */
async function enter(token) {
  const desk = new Desk(token);
  const mine = new Page(desk);
  try {
    await mine.start();
  } catch (failure) {
    mine.end();
    const { code } = /** @type {any} */ (failure);
    if (code === "unauthenticated") forget();
    return leave(code === "unauthenticated" && !token ? "" : inWords(failure));
  }
  page = mine;
  $("entry").hidden = true;
  $("view").hidden = false;
  $("leave").hidden = !token;
  maker.fit();
}

/** The login that was remembered does not do any more. */
function forget() {
  if (!tab.get(KEY) || device.get(KEY) === tab.get(KEY)) device.remove(KEY);
  tab.remove(KEY);
}

/** @param {string} [why] */
function leave(why = "") {
  page?.end();
  page = null;
  $("view").hidden = $("leave").hidden = true;
  $("entry").hidden = false;
  $("refused").hidden = !why;
  $("refused").textContent = why;
  state("out", "signed out");
  $("email").focus();
}

/** @param {SubmitEvent} event */
async function signIn(event) {
  event.preventDefault();
  const [email, password] = ["email", "password"].map((id) => /** @type {HTMLInputElement} */ ($(id)));
  $("refused").hidden = true;
  try {
    const body = { email: email.value.trim(), password: password.value };
    const options = { body, timeoutMs: SIGN_IN_MS };
    const { token } = await askHttp(httpUrl(location.origin), "POST", "/api/users/login", options);
    password.value = "";
    tab.set(KEY, token);
    await enter(token);
  } catch (failure) {
    leave(inWords(failure));
  }
}

function showTheme() {
  $("theme").textContent = `Theme: ${LABELS[theme()].toLowerCase()}`;
}

applyTheme();
showTheme();
$("theme").addEventListener("click", () => {
  setTheme(nextTheme());
  showTheme();
  page?.stage.visual.draw();
});
$("leave").addEventListener("click", async () => {
  await page?.desk.ask("POST", "/api/users/logout", { timeoutMs: LOGOUT_MS }).catch(() => {});
  forget();
  leave();
});
$("entry").addEventListener("submit", signIn);
enter(tab.get(KEY) ?? device.get(KEY) ?? "");
