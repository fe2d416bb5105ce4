// What is said in a space: the log, older pages as one scrolls up, what is on its way, and the line to write in.

import { button, h, put, set } from "../dom.js";
import { callThem, count, dayOf, inWords } from "../words.js";
import { notice, saidBy } from "./said.js";

const TOGETHER_MS = 5 * 60_000;
const NEAR_PX = 90;

/** The conversation of a room. */
export function talk(room, me, session) {
  const items = h("ol.plain.log-items");
  const older = button("Earlier", () => load(), { kind: "quiet", hidden: true });
  const log = h(
    "div.log",
    { role: "log", "aria-live": "polite", "aria-label": "Conversation", tabindex: "0" },
    h("div.log-older", null, older),
    items,
  );
  const below = button("New messages below", () => toEnd(), { kind: "below", hidden: true });
  const writing = composer(room, session, () => toEnd());
  const element = h("section.talk", { "aria-label": "Conversation" }, h("div.log-frame", null, log, below), writing.element);
  const drawn = new Map();
  let loading = false;
  let stick = true;
  let news = false;
  let frame = null;

  const nearEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_PX;
  const toEnd = () => {
    log.scrollTop = log.scrollHeight;
    stick = true;
    below.hidden = true;
  };
  const load = async () => {
    if (loading || !room.more) return;
    loading = true;
    log.setAttribute("aria-busy", "true");
    const height = log.scrollHeight;
    const top = log.scrollTop;
    try {
      await room.older();
      log.scrollTop = top + log.scrollHeight - height;
    } catch (error) {
      put(older, `Not loaded: ${inWords(error)} Try again`);
    }
    loading = false;
    log.removeAttribute("aria-busy");
  };
  log.addEventListener(
    "scroll",
    () => {
      stick = nearEnd();
      if (stick) below.hidden = true;
      if (log.scrollTop < NEAR_PX && room.more && log.scrollHeight > log.clientHeight) load();
    },
    { passive: true },
  );

  /**
   * Once a frame is enough for whoever looks, and costs nothing where nobody does; a page of the past is there at once.
   * @param {{fresh?: any, older?: boolean}} [what]
   */
  const draw = ({ fresh, older: past = false } = {}) => {
    news ||= fresh?.event === "message";
    if (past) bring();
    else frame ??= requestAnimationFrame(bring);
  };

  /** Brings the screen to what the room has: what is there already stays, so that nothing is read out twice. */
  const bring = () => {
    cancelAnimationFrame(frame);
    frame = null;
    older.hidden = !room.more;
    const wanted = rowsOf(room, me);
    const keys = new Set(wanted.map(({ key }) => key));
    for (const [key, { element: old }] of drawn) {
      if (keys.has(key)) continue;
      old.remove();
      drawn.delete(key);
    }
    let place = items.firstChild;
    for (const row of wanted) {
      let known = drawn.get(row.key);
      if (known?.version !== row.version) {
        const element = row.build();
        if (known) {
          if (place === known.element) place = place.nextSibling;
          known.element.remove();
        }
        known = { element, version: row.version };
        drawn.set(row.key, known);
      }
      if (known.element === place) place = place.nextSibling;
      else items.insertBefore(known.element, place);
    }
    if (stick) toEnd();
    else if (news) below.hidden = false;
    news = false;
  };
  bring();
  const end = () => {
    cancelAnimationFrame(frame);
    writing.end();
  };
  return { element, draw, toEnd, end };
}

/** The rows of the log: days, separators, messages (grouped by who speaks), notices, what is on its way. */
function rowsOf(room, me) {
  const rows = [];
  let day = null;
  let before = null;
  const unread = room.firstUnread;
  const away = room.missed?.after;
  let told = false;
  if (!room.more) rows.push({ key: "begin", version: 0, build: () => h("li.log-begin", null, "Here it begins.") });
  for (const event of room.log) {
    const today = dayOf(event.at);
    if (today !== day)
      rows.push({ key: `day ${today}`, version: 0, build: () => h("li.log-day", null, h("span", null, today)) });
    if (today !== day) before = null;
    day = today;
    if (away !== undefined && !told && event.offset > away && event.event === "message") {
      told = true;
      rows.push(separator("missed", `While you were away: ${count(room.missed.count, "message")}`));
      before = null;
    } else if (unread === event.offset && !told) {
      rows.push(separator("unread", "New"));
      before = null;
    }
    if (event.event === "message") {
      const first = before?.from?.id !== event.from?.id || Date.parse(event.at) - Date.parse(before.at) > TOGETHER_MS;
      rows.push({
        key: event.offset,
        version: first,
        build: () => saidBy(event, { first, mine: event.from?.id === me, who: callThem(event.from?.name) }),
      });
      before = event;
    } else {
      rows.push({ key: event.offset, version: 0, build: () => notice(event, room) });
      before = null;
    }
  }
  for (const pending of room.pending) rows.push(onItsWay(room, pending));
  return rows;
}

const separator = (kind, text) => ({
  key: kind,
  version: text,
  build: () => h(`li.log-line.log-${kind}`, null, h("span", null, text)),
});

function onItsWay(room, pending) {
  const { key, offset, error, text } = pending;
  const mark = offset ? "stored" : error ? "failed" : "sending";
  const words = {
    stored: `stored · ${offset}`,
    sending: "on its way…",
    failed: `Not sent. ${error && inWords(error)}`,
  }[mark];
  const event = { at: pending.at, body: { text }, offset: null };
  const build = () =>
    saidBy(event, {
      first: true,
      mine: true,
      who: "You",
      mark: h(`span.mark-${mark}`, null, words),
      extra:
        mark === "failed"
          ? h(
              "span.actions.small",
              null,
              button("Try again", () => room.again(pending)),
              button("Discard", () => room.discard(pending)),
            )
          : null,
    });
  return { key: `pending ${key}`, version: mark, build };
}

function composer(room, session, sent) {
  const most = session.client?.limits.message_bytes ?? 16_384;
  const id = `say-${room.id}`;
  const input = h("textarea.say", {
    id,
    rows: 1,
    placeholder: "Say something",
    enterkeyhint: "send",
    autocomplete: "off",
  });
  const send = h("button.primary.send", { type: "submit" }, "Send");
  const note = h("p.composer-note.small", { role: "status" });
  const fit = () => {
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight + 2, 180)}px`;
  };
  const bytes = () => new TextEncoder().encode(JSON.stringify({ text: input.value })).length;
  const check = () => {
    fit();
    const over = bytes() - most;
    put(note, over > 0 ? `Too long by ${over} bytes. Please send it in parts.` : waiting());
    set(input, "aria-invalid", over > 0 ? "true" : null);
    return over <= 0;
  };
  const waiting = () =>
    session.state === "ready" ? "" : "No line just now. What you send waits here and goes out when it is back.";
  const form = h("form.composer", null, h("label.hidden-visually", { for: id }, "Your message"), input, send, note);
  const go = () => {
    const text = input.value.trim();
    if (!text || !check()) return;
    room.send(text);
    input.value = "";
    fit();
    sent();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go();
    input.focus();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    go();
  });
  input.addEventListener("input", check);
  const line = ({ detail }) => detail.what === "connection" && check();
  room.addEventListener("change", line);
  return { element: form, end: () => room.removeEventListener("change", line) };
}
