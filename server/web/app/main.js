// Begins the page: theme, the remembered session, the frame, and the view that the address names.

import { button, h, put } from "./dom.js";
import { Router } from "./router.js";
import { session } from "./session.js";
import { frame } from "./shell.js";
import { applyTheme } from "./theme.js";
import { account } from "./views/account.js";
import { enter } from "./views/enter.js";
import { ritual } from "./views/ritual.js";
import { rituals } from "./views/rituals.js";
import { run } from "./views/run.js";
import { space } from "./views/space.js";
import { newSpace, spaces } from "./views/spaces.js";
import { state } from "./views/state.js";
import { editRitual, uploadRitual } from "./views/upload.js";
import { inWords } from "./words.js";

const OPEN_TO_ALL = new Set([home, nowhere, enter, rituals, ritual]);

/** A view as the router takes it: it asks for a sign-in where one is needed, and tells what went wrong. */
function guarded(view) {
  return async (context) => {
    if (!session.signedIn && !OPEN_TO_ALL.has(view)) return enter({ ...context, then: router.path });
    try {
      return await view({ ...context, router });
    } catch (error) {
      if (!error.code) console.error(error);
      put(
        context.main,
        h("h1", null, error.code === "not_found" ? "Nothing here" : "That did not open"),
        h("p.note.wrong", { role: "alert" }, inWords(error)),
        h(
          "div.actions",
          null,
          button("Try again", () => router.show()),
          h("a.button", { href: "#/spaces" }, "To the spaces"),
        ),
      );
      return { title: "Not opened" };
    }
  };
}

async function nowhere({ main }) {
  put(
    main,
    h("h1", null, "Nothing here"),
    h("p.lede", null, "This address leads nowhere on this page."),
    h("div.actions", null, h("a.button.primary", { href: "#/spaces" }, "To the spaces")),
  );
  return { title: "Nothing here" };
}

async function home() {
  location.replace(session.signedIn ? "#/spaces" : "#/enter");
  return null;
}

const VIEWS = {
  "/": home,
  "/enter": enter,
  "/spaces": spaces,
  "/spaces/new": newSpace,
  "/space/:space": space,
  "/rituals": rituals,
  "/rituals/upload": uploadRitual,
  "/ritual/:id": ritual,
  "/ritual/:id/edit": editRitual,
  "/run/:id": run,
  "/state": state,
  "/account": account,
  "*": nowhere,
};

applyTheme();
const router = new Router(
  document.getElementById("main"),
  Object.fromEntries(Object.entries(VIEWS).map(([pattern, view]) => [pattern, guarded(view)])),
);
frame(router);
await session.restore();
let who = session.me?.id;
session.addEventListener("me", () => {
  const before = who;
  who = session.me?.id;
  if (before !== undefined && before !== who) router.show(); // signed out, or a guest who is somebody new
});
await router.start();
