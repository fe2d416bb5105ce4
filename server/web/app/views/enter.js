// The way in: a sentence of what this is, sign in, make an account, or enter as a guest where the server lets guests in.

import { button, h, put } from "../dom.js";
import { choice, field, form, tick } from "../forms.js";
import { session } from "../session.js";
import { inWords } from "../words.js";
import { PRIVACY } from "./account.js";

const NAME = { kind: "text", maxlength: 100, autocomplete: "nickname" };

const ABOUT_MS = 3000;

/** Whether guests may enter; unknown counts as yes, the server has the last word. */
async function guestsMayEnter() {
  try {
    const about = await session.http("GET", "/", { timeoutMs: ABOUT_MS });
    return about?.guests !== false;
  } catch {
    return true;
  }
}

export async function enter({ main, router, then }) {
  if (session.signedIn) {
    location.replace("#/spaces");
    return null;
  }
  const onward = () => {
    const to = then && then !== "/enter" ? then : "/spaces";
    if (location.hash === `#${to}`) dispatchEvent(new Event("hashchange"));
    else location.hash = to;
  };
  const panel = h("div.enter-panel");
  const said = goodbye(session.goodbye);
  const guests = await guestsMayEnter();
  const ways = [
    ["in", "Sign in", signIn],
    ["new", "New here", newAccount],
    ...(guests ? [["guest", "Guest", asGuest]] : []),
  ];
  const tabs = ways.map(([key, label, build]) =>
    button(label, () => open(key, build), { "data-way": key, "aria-pressed": "false" }),
  );
  const open = (key, build, focus = true) => {
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset.way === key));
    put(panel, build(onward));
    if (focus) panel.querySelector("input")?.focus();
  };
  put(
    main,
    h(
      "div.enter",
      null,
      h(
        "div.enter-words",
        null,
        h("h1", null, "Practise together"),
        h(
          "p.lede",
          null,
          "A quiet place to sit with others, wherever they are. Talk, breathe in step and see it, hold a ritual in the same moment.",
        ),
        drawing(),
      ),
      h("div.enter-card", null, said, h("div.segments", { role: "group", "aria-label": "How to enter" }, tabs), panel, elsewhere()),
    ),
  );
  open("in", signIn, false);
  return { title: "Enter" };
}

/** The pages that are not for those who practise. */
const elsewhere = () =>
  h("p.small.muted", null, "For engines: ", h("a", { href: "/eustress" }, "the Eustress lake"), ". For operators: ", h("a", { href: "/operator" }, "what runs"), ".");

/** Why one stands at the door again: in words, or the error that kept us from coming back. */
function goodbye(why) {
  if (!why) return null;
  if (typeof why === "string") return h("p.note", { role: "status" }, why);
  const again = button("Try again", () => location.reload(), { kind: "quiet" });
  return h("p.note", { role: "status" }, inWords(why), " ", again);
}

function signIn(onward) {
  return form(
    [
      field("email", "Email", { kind: "email", required: true, autocomplete: "username", inputmode: "email" }),
      field("password", "Password", { kind: "password", required: true, autocomplete: "current-password" }),
      tick("stay", "Stay signed in on this device"),
    ],
    {
      label: "Sign in",
      submit: async ({ email, password, stay }) => {
        try {
          await session.signIn(email, password, stay);
        } catch (error) {
          if (error.code === "unauthenticated")
            throw Object.assign(new Error("The email or the password is wrong."), { code: "said" });
          throw error;
        }
        onward();
      },
    },
  );
}

function newAccount(onward) {
  return form(
    [
      field("spiritual_name", "Name", { ...NAME, required: true, hint: "How the others see you." }),
      field("email", "Email", { kind: "email", required: true, autocomplete: "username", inputmode: "email" }),
      field("password", "Password", {
        kind: "password",
        required: true,
        autocomplete: "new-password",
        minlength: 8,
        hint: "At least 8 characters; a sentence is good.",
      }),
      choice("privacy_level", "Who may see you", PRIVACY, "community"),
      tick("stay", "Stay signed in on this device"),
    ],
    {
      label: "Create the account",
      submit: async ({ stay, ...fields }) => {
        await session.register(fields, stay);
        onward();
      },
    },
  );
}

function asGuest(onward) {
  return h(
    "div",
    null,
    h(
      "p.muted.spaced",
      null,
      "Guests enter open spaces and talk there. Nothing of yours outlives the visit; rituals and a state of your own need an account.",
    ),
    form([field("guest", "Name", { ...NAME, required: true })], {
      label: "Enter as a guest",
      submit: async ({ guest }) => {
        await session.enterAsGuest(guest.trim());
        onward();
      },
    }),
  );
}

function drawing() {
  const canvas = h("div.enter-drawing", { "aria-hidden": "true" });
  canvas.append(...Array.from({ length: 9 }, (_, index) => h(`i.petal.petal-${index}`)));
  return canvas;
}
