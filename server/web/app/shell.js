// The frame around the views: the bar with the connection's state, the navigation with the open rooms, the theme.

import { button, h, name, put, set, svg } from "./dom.js";
import { session } from "./session.js";
import { badge } from "./parts/badge.js";
import { LABELS, nextTheme, setTheme, theme } from "./theme.js";
import { count } from "./words.js";

const ICONS = {
  spaces: "M4 12a8 8 0 1 0 16 0a8 8 0 1 0 -16 0M12 2.6v2.8M20.2 16.7l-2.4-1.4M3.8 16.7l2.4-1.4",
  rituals: "M12 3c3 4 5 6.4 5 10a5 5 0 0 1-10 0c0-2 .8-3.4 2-5 .6 1.400 1.400 2 2 2 .8-2 .8-4.600 1-7z",
  state:
    "M12 12m-2.500 0a2.500 2.500 0 1 0 5 0a2.500 2.500 0 1 0 -5 0M12 9.500C9 6 10 3 12 2.500c2 .5 3 3.500 0 7zM12 14.500c3 3.500 2 6.500 0 7c-2-.5-3-3.500 0-7zM9.500 12C6 15 3 14 2.500 12c.5-2 3.500-3 7 0zM14.500 12c3.500-3 6.500-2 7 0c-.5 2-3.500 3-7 0z",
  account: "M12 12a4 4 0 1 0 0-8a4 4 0 0 0 0 8zM4.500 20.500c1-4 4-6 7.500-6s6.500 2 7.500 6",
};
const LINKS = [
  ["/spaces", "Spaces", "spaces"],
  ["/rituals", "Rituals", "rituals"],
  ["/state", "My state", "state"],
  ["/account", "Account", "account"],
];

const icon = (which) =>
  svg("svg.icon", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[which] }));

const mark = () =>
  svg(
    "svg.mark",
    { viewBox: "0 0 32 32", "aria-hidden": "true" },
    svg("circle.mark-ring", { cx: 16, cy: 16, r: 12 }),
    [
      [16, 4],
      [26.4, 22],
      [5.6, 22],
    ].map(([cx, cy]) => svg("circle.mark-dot", { cx, cy, r: 3.2 })),
  );

/** Builds the frame and keeps it up to date. */
export function frame(router) {
  const bar = document.getElementById("bar");
  const nav = document.getElementById("nav");
  document.getElementById("skip").addEventListener("click", () => {
    const main = document.getElementById("main");
    (main.querySelector("h1") ?? main).focus();
  });
  put(bar, h("a.wordmark", { href: "#/" }, mark(), "Sangha"), h("span.spring"), badge(), themeButton());
  const draw = () => put(nav, h("ul.plain.nav-list", null, links(router.path)), rooms(router.path));
  addEventListener("sangha:view", draw);
  session.addEventListener("me", draw);
  session.addEventListener("rooms", draw);
  draw();
}

function themeButton() {
  const control = button(
    svg(
      "svg.icon",
      { viewBox: "0 0 24 24", "aria-hidden": "true" },
      svg("path", { d: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16" }),
      svg("path.filled", { d: "M12 4a8 8 0 0 1 0 16z" }),
    ),
    () => {
      setTheme(nextTheme());
      say();
    },
    { kind: "theme" },
  );
  const say = () => {
    set(control, "aria-label", `Colours: ${LABELS[theme()]}. Change`);
    set(control, "title", `Colours: ${LABELS[theme()]}`);
  };
  say();
  return control;
}

function links(path) {
  const shown = session.signedIn
    ? LINKS.filter(([to]) => !(session.guest && to === "/state"))
    : [["/enter", "Enter", "account"], LINKS[1]];
  return shown.map(([to, label, which]) => {
    const here =
      path === to ||
      (to === "/spaces" && path.startsWith("/space")) ||
      (to === "/rituals" && /^\/(ritual|run)/.test(path));
    const unread = to === "/spaces" ? [...session.rooms.values()].reduce((sum, room) => sum + room.unread, 0) : 0;
    return h(
      "li",
      null,
      h(
        "a.nav-link",
        { href: `#${to}`, "aria-current": here ? "page" : null },
        icon(which),
        h("span", null, label),
        unread ? h("span.unread.only-narrow", null, unread, h("span.hidden-visually", null, " unread")) : null,
      ),
    );
  });
}

function rooms(path) {
  if (!session.rooms.size) return null;
  return h(
    "section.nav-rooms",
    { "aria-labelledby": "nav-rooms" },
    h("h2.nav-heading", { id: "nav-rooms" }, "Where you are"),
    h(
      "ul.plain",
      null,
      [...session.rooms.values()].map((room) =>
        h(
          "li",
          null,
          h(
            "a.nav-room",
            { href: `#${room.path}`, "aria-current": path === room.path ? "page" : null },
            name(room.space.name),
            room.unread
              ? h(
                  "span.unread",
                  { title: count(room.unread, "new message") },
                  room.unread,
                  h("span.hidden-visually", null, " unread"),
                )
              : null,
          ),
        ),
      ),
    ),
  );
}
