// A space: what is said, the circle (ring, breath, coherence, people), the group ritual, and what its facilitator may do.

import { button, h, name, put, set } from "../dom.js";
import { attempt, confirm, dialog, field, form, toast } from "../forms.js";
import { beginRitual } from "../parts/begin.js";
import { breath } from "../parts/breath.js";
import { people } from "../parts/people.js";
import { ring } from "../parts/ring.js";
import { series } from "../parts/series.js";
import { stages } from "../parts/stages.js";
import { talk } from "../parts/talk.js";
import { session } from "../session.js";
import { ACCESS, two } from "../words.js";
import { spaceFields, spaceValues } from "./spaces.js";

const PANELS = [
  ["talk", "Talk"],
  ["circle", "Circle"],
];

export async function space({ main, parameters, router }) {
  put(main, h("p.muted", { role: "status" }, "Entering…"));
  const room = await session.room(parameters.space);
  const me = session.me.id;
  const parts = {
    ring: ring(room, me),
    series: series(room),
    people: people(room, me),
    breath: breath(room),
    stages: stages(room, session),
    talk: talk(room, me, session),
  };
  const heading = h("h1.space-name", null, name(room.space.name));
  const facts = h("p.space-facts");
  const rightSide = h(
    "aside.circle",
    { "aria-label": "The circle" },
    h("h2.hidden-visually", null, "The circle"),
    parts.ring.element,
    parts.breath.element,
    parts.people.element,
    parts.series.element,
  );
  const body = h(
    "div.space",
    { "data-panel": "talk" },
    h("div.space-main", null, parts.stages.element, parts.talk.element),
    rightSide,
  );
  const tools = h("div.space-tools");
  const brief = h("span.muted.small", null, inShort(room));
  const drawHead = () => {
    put(heading, name(room.space.name));
    put(
      facts,
      h("span.tag", null, ACCESS[room.space.access_level]?.label ?? ""),
      room.space.tradition ? h("span.tag", null, h("bdi", null, room.space.tradition)) : null,
      room.space.purpose ? h("span.purpose", { dir: "auto" }, room.space.purpose) : null,
    );
    put(
      tools,
      room.mine && !room.ritual
        ? button("Begin a ritual", () => attempt(() => beginRitual(room, session)), { kind: "primary" })
        : null,
      room.mine ? menu(room, router) : button("Leave", () => leave(room, router)),
    );
  };
  drawHead();
  put(
    main,
    h("header.space-head", null, h("div.space-title", null, heading, facts), tools),
    h("div.panels", null, segments(body), brief),
    body,
  );
  main.classList.add("main-space");

  const seen = () => {
    room.watched = !document.hidden;
    if (room.watched) room.seen();
  };
  const change = ({ detail }) => {
    const { what } = detail;
    if (what === "log") parts.talk.draw(detail);
    if (what === "space") drawHead();
    if (what === "people" || what === "space") parts.people.draw();
    if (what === "coherence") for (const part of [parts.ring, parts.series]) part.draw();
    if (what === "coherence") parts.people.breaths();
    if (brief.textContent !== inShort(room)) put(brief, inShort(room));
    if (what === "people") parts.ring.draw();
    if (what === "ritual" || what === "space") parts.stages.draw();
    if (what === "ritual") drawHead();
    if (what === "ended") ended(room, main);
    title();
  };
  const title = () => {
    document.title = `${room.unread ? `(${room.unread}) ` : ""}${room.space.name} · Sangha`;
  };
  const unread = () => title();
  room.addEventListener("change", change);
  room.addEventListener("unread", unread);
  document.addEventListener("visibilitychange", seen);
  seen();
  requestAnimationFrame(() => parts.talk.toEnd());
  return {
    title: room.space.name,
    end() {
      room.watched = false;
      room.firstUnread = null;
      room.removeEventListener("change", change);
      room.removeEventListener("unread", unread);
      document.removeEventListener("visibilitychange", seen);
      for (const part of Object.values(parts)) part.end?.();
    },
  };
}

/** On a narrow screen one of the two is shown. */
function segments(body) {
  const buttons = PANELS.map(([key, label]) =>
    button(
      label,
      () => {
        body.dataset.panel = key;
        for (const each of buttons) set(each, "aria-pressed", String(each.dataset.panelName === key));
      },
      { "data-panel-name": key, "aria-pressed": String(key === "talk") },
    ),
  );
  return h("div.segments", { role: "group", "aria-label": "Show" }, buttons);
}

const inShort = ({ coherence: { r }, present }) => `${present.size} here${r === null ? "" : ` · coherence ${two(r)}`}`;

function ended(room, main) {
  const words = {
    left: "You have left this space.",
    closed: "This space was closed by its facilitator.",
    not_found: "This space is closed.",
    forbidden: "You are no longer a member of this space.",
    full: "Your place was taken meanwhile; the space is full.",
    protocol_violation: "The server said what this page does not understand. Loading the page anew may help.",
    connection_lost: "The line to the server has ended.",
  };
  put(
    main,
    h("h1", null, name(room.space.name)),
    h("p.lede", { role: "status" }, words[room.ended] ?? "This space has ended."),
    h("div.actions", null, h("a.button.primary", { href: "#/spaces" }, "To the spaces")),
  );
}

async function leave(room, router) {
  if (!(await confirm("Leave this space?", "Your place becomes free. What you said stays.", "Leave"))) return;
  await attempt(() => session.leave(room));
  router.go("/spaces");
}

function menu(room, router) {
  const open = () =>
    dialog("This space", (close) => [
      h(
        "div.menu",
        null,
        room.ritual
          ? null
          : button("Begin a ritual", () => {
              close();
              attempt(() => beginRitual(room, session));
            }),
        button("Invite someone", () => {
          close();
          invite(room);
        }),
        button("Change name, purpose, places", () => {
          close();
          edit(room);
        }),
        button("Copy the link", () => {
          close();
          copy(room);
        }),
        button("Leave", () => {
          close();
          leave(room, router);
        }),
        button(
          "Close it for everyone",
          () => {
            close();
            shut(room, router);
          },
          { kind: "danger" },
        ),
      ),
      h(
        "div.actions",
        null,
        button("Back", () => close(), { kind: "quiet" }),
      ),
    ]);
  return button("Manage", open, { "aria-haspopup": "dialog" });
}

async function copy(room) {
  const address = `${location.origin}/#${room.path}`;
  try {
    await navigator.clipboard.writeText(address);
    toast("The link is copied.");
  } catch {
    await dialog("The link", (close) => [
      h("p.mono", null, address),
      h(
        "div.actions",
        null,
        button("Done", () => close()),
      ),
    ]);
  }
}

function invite(room) {
  return dialog("Invite someone", (close) =>
    form(
      [
        field("practitioner", "Their id", {
          required: true,
          hint: "Everyone finds their own id under Account. They are told at once.",
          autocapitalize: "none",
          spellcheck: "false",
        }),
      ],
      {
        label: "Invite",
        extra: [button("Not now", () => close())],
        submit: async ({ practitioner }) => {
          await session.request("space.invite", { space: room.id, practitioner: practitioner.trim().toLowerCase() });
          close();
          toast("Invited.");
        },
      },
    ),
  );
}

function edit(room) {
  return dialog("Change this space", (close) =>
    form(spaceFields(room.space), {
      label: "Keep it so",
      extra: [button("Not now", () => close())],
      submit: async (values) => {
        await session.request("space.update", { space: room.id, ...spaceValues(values) });
        close();
        toast("Changed.");
      },
    }),
  );
}

async function shut(room, router) {
  if (!(await confirm("Close this space?", "It ends for everyone, for good.", "Close it for everyone"))) return;
  await attempt(async () => {
    await session.request("space.close", { space: room.id });
    router.go("/spaces");
  });
}
