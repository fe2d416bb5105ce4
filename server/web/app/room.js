// A space that is joined: its log, who is present, phases and coherence, the group ritual. Knows nothing of the screen;
// says "change" with what changed: log, people, coherence, ritual, space, connection; and "left" at its end.
//
// The log is by offset: what comes twice stands once. What the person says stands below it until its own event comes.

import { turned } from "./phases.js";

const PAGE = 50;
const MOST = 1000;
const SERIES_S = 180;
const STRANGERS = 1000;
const SETTLE_MS = 500;
const QUIET = /^(created|invited|renamed|ritual_(opening|active|aborting|integration))$/;

export class Room extends EventTarget {
  people = new Map();
  present = new Set();
  phases = new Map();
  coherence = { r: null, unbiased: null, n: 0 };
  series = [];
  log = [];
  pending = [];
  ritual = null;
  progress = null;
  summary = null;
  summaryOpen = false;
  planned = [];
  unread = 0;
  firstUnread = null;
  missed = null;
  watched = false;
  more = true;
  ended = null;
  #session;
  #stream;
  #next = 0;
  #away = null;

  static async join(session, idOrSlug) {
    const stream = await session.client.join(idOrSlug);
    const room = new Room(session, stream);
    await room.#begin(session.client.rememberedOffset(stream.id));
    return room;
  }

  constructor(session, stream) {
    super();
    this.#session = session;
    this.#stream = stream;
    this.id = stream.id;
    this.#take(stream.state);
    stream.addEventListener("snapshot", ({ detail }) => this.#snapshot(detail));
    stream.addEventListener("event", ({ detail }) => this.#event(detail));
    stream.addEventListener("presence", ({ detail }) => this.#presence(detail));
    stream.addEventListener("push", ({ detail }) => this.#push(detail));
    stream.addEventListener("left", ({ detail }) => this.#left(detail?.reason));
  }

  async #begin(known) {
    await this.older().catch(() => {});
    if (known !== undefined)
      this.firstUnread = this.log.find(({ offset, event }) => offset > known && event === "message")?.offset ?? null;
    const { last, scheduled } = await this.#session
      .request("space.ritual.get", { space: this.id })
      .catch(() => ({ last: null, scheduled: [] }));
    this.planned = scheduled;
    if (!this.ritual) this.summary ??= last;
  }

  is(idOrSlug) {
    return this.id === idOrSlug || (this.space.slug !== null && this.space.slug === idOrSlug);
  }

  get path() {
    return `/space/${encodeURIComponent(this.space.slug ?? this.id)}`;
  }

  get mine() {
    return this.space.facilitator === this.#session.me?.id;
  }

  nameOf(id) {
    return this.people.get(id) ?? null;
  }

  // What comes

  #changed(what, more = {}) {
    this.dispatchEvent(new CustomEvent("change", { detail: { what, ...more } }));
  }

  #take(state) {
    const { participants = [], present = [], ritual = null, phase_coherence: agreed, ...space } = state;
    this.space = { ...this.space, ...space };
    for (const { id, name } of participants) this.people.set(id, name);
    this.participants = new Set(participants.map(({ id }) => id));
    this.present = new Set(present);
    if (agreed) this.coherence = agreed;
    this.ritual = ritual;
  }

  #snapshot({ state, reason }) {
    this.#take(state);
    if (reason === "gap") {
      this.missed = { gap: true, count: 0 };
      this.log = [];
      this.more = true;
      this.older().catch(() => {});
    }
    for (const what of ["space", "people", "coherence", "ritual", "log"]) this.#changed(what);
  }

  #event(event) {
    const { offset, event: kind, from, body } = event;
    if (from?.name) this.people.set(from.id, from.name);
    const fresh = this.#note(event);
    if (!fresh) return;
    this.#count(event);
    if (kind === "updated") this.space = { ...this.space, ...body };
    if (kind === "joined" || kind === "left") this.#comeOrGo(kind, from);
    if (kind.startsWith("ritual_")) this.#stage(kind, body, event.at);
    if (kind === "closed") this.#left("closed");
    this.#changed("log", { fresh: event });
    if (kind === "updated") this.#changed("space");
  }

  #comeOrGo(kind, from) {
    if (!from) return;
    if (kind === "joined") this.participants.add(from.id);
    else this.participants.delete(from.id);
    if (kind === "left" && from.id === this.#session.me?.id) setTimeout(() => this.#leftElsewhere(from.id), SETTLE_MS);
    this.#changed("people");
  }

  /** We left in another tab. (After a resume it may be that we came in again: then both are told, one after the other.) */
  #leftElsewhere(me) {
    if (this.ended || this.participants.has(me)) return;
    this.#left("left");
    this.#stream.leave({ participant: true });
  }

  /** Keeps a numbered event in its place; false where it stands there already. */
  #note(event) {
    const { log } = this;
    if (QUIET.test(event.event)) return true;
    if (event.event === "message") this.pending = this.pending.filter(({ offset }) => offset !== event.offset);
    if (log.length === 0 || log.at(-1).offset < event.offset) log.push(event);
    else {
      const place = log.findIndex(({ offset }) => offset >= event.offset);
      if (log[place].offset === event.offset) return false;
      log.splice(place, 0, event);
    }
    if (log.length > MOST) {
      log.splice(0, log.length - MOST);
      this.more = true;
    }
    return true;
  }

  /** What counts as missed: said by others after the line broke and before it was back. */
  #count({ offset, event: kind, from, at }) {
    if (kind !== "message" || from?.id === this.#session.me?.id) return;
    const away = this.#away;
    if (away && offset > away.after && Date.parse(at) <= away.until) {
      this.missed ??= { after: away.after, count: 0 };
      this.missed.count += 1;
    }
    if (this.watched) return;
    this.unread += 1;
    this.firstUnread ??= offset;
    this.dispatchEvent(new Event("unread"));
    this.#session.dispatchEvent(new Event("rooms"));
  }

  seen() {
    if (!this.unread) return;
    this.unread = 0;
    this.#session.dispatchEvent(new Event("rooms"));
  }

  #presence({ joined = [], left = [], full = false }) {
    if (full) this.present = new Set();
    for (const { id, name } of joined) {
      this.people.set(id, name);
      this.present.add(id);
      this.participants.add(id);
    }
    for (const { id } of left) {
      this.present.delete(id);
      this.phases.delete(id);
    }
    this.#forgetStrangers();
    this.#changed("people");
  }

  /** In an open space people come and go for days: whose name nobody needs any more is not kept. */
  #forgetStrangers() {
    const { people, participants, present } = this;
    if (people.size < participants.size + present.size + STRANGERS) return;
    for (const id of people.keys()) if (!participants.has(id) && !present.has(id)) people.delete(id);
  }

  #push(push) {
    if (push.event === "coherence") this.#agreement(push);
    else if (push.event === "ritual_progress") {
      this.progress = push;
      this.#changed("ritual");
    }
  }

  #agreement({ phase_coherence: r, unbiased, n, phases }) {
    const now = performance.now() / 1000;
    this.coherence = { r, unbiased, n };
    const before = this.phases;
    this.phases = new Map();
    for (const [id, phase] of Object.entries(phases ?? {})) this.phases.set(id, turned(before.get(id), phase, now));
    if (this.series.length === 0 || now - this.series.at(-1).t >= 0.9) this.series.push({ t: now, r, n });
    while (this.series.length && now - this.series[0].t > SERIES_S) this.series.shift();
    this.#changed("coherence");
  }

  #stage(kind, body, at) {
    if (kind !== "ritual_scheduled")
      this.planned = this.planned.filter(({ ritual_run: run }) => run !== body.ritual_run);
    if (kind === "ritual_scheduled")
      this.planned = [...this.planned, body].sort((a, b) => a.starts_at.localeCompare(b.starts_at));
    else if (kind === "ritual_closed") {
      this.summary = body.summary;
      this.summaryOpen = true;
      this.ritual = this.progress = null;
    } else if (kind !== "ritual_unscheduled") {
      if (kind === "ritual_gathering") this.progress = this.summary = null;
      const before = kind === "ritual_gathering" ? { began_at: at } : this.ritual;
      this.ritual = { ...before, ...body };
    }
    this.#changed("ritual");
  }

  #left(reason) {
    if (this.ended) return;
    this.ended = reason ?? "left";
    this.#changed("ended");
    this.dispatchEvent(new Event("left"));
  }

  connection(state) {
    if (state === "reconnecting") {
      this.#away = { after: this.#stream.offset, until: Infinity };
      this.missed = null;
    } else if (state === "ready" && this.#away) this.#away.until = this.#session.client.serverTime();
    this.#changed("connection");
  }

  // What the person does

  /** Says something: shown at once, marked as stored when the server says so. */
  send(text) {
    const pending = { key: ++this.#next, text, at: new Date().toISOString(), offset: null, error: null };
    this.pending.push(pending);
    this.firstUnread = null;
    this.#deliver(pending);
    return pending;
  }

  again(pending) {
    pending.error = null;
    this.#deliver(pending);
  }

  discard(pending) {
    this.pending = this.pending.filter((each) => each !== pending);
    this.#changed("log");
  }

  async #deliver(pending) {
    this.#changed("log");
    try {
      const offset = await this.#stream.send({ text: pending.text });
      pending.offset = offset;
      if (this.log.some((event) => event.offset === offset)) this.discard(pending);
    } catch (error) {
      pending.error = error;
    }
    this.#changed("log");
  }

  pulse(phase) {
    return this.#stream.pulse(phase);
  }

  leave() {
    this.ended = "left";
    return this.#stream.leave();
  }

  /** Brings the page of the log before what is shown. */
  async older() {
    const first = this.log[0]?.offset ?? this.#stream.offset + 1;
    const after = Math.max(0, first - 1 - PAGE);
    if (first <= 1) {
      this.more = false;
      return;
    }
    const { events } = await this.#session.client.history(`space:${this.id}`, { after, limit: first - 1 - after });
    for (const event of events)
      if (event.from?.name && !this.people.has(event.from.id)) this.people.set(event.from.id, event.from.name);
    const known = new Set(this.log.map(({ offset }) => offset));
    this.log.unshift(
      ...events.filter(({ offset, event }) => offset < first && !known.has(offset) && !QUIET.test(event)),
    );
    this.more = after > 0;
    this.#changed("log", { older: true });
  }
}
