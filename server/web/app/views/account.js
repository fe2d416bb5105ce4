// One's account: profile and who may see it, the oracle's consent, colours, sessions, password, export, the end.

import { busy, button, h, put } from "../dom.js";
import { attempt, choice, confirm, dialog, field, form, tick, toast } from "../forms.js";
import { session } from "../session.js";
import { LABELS, setTheme, theme } from "../theme.js";
import { count, dateTime, inWords } from "../words.js";

export const PRIVACY = [
  ["private", "Private", "nothing is shown to others"],
  ["community", "Community", "your name and presence, to those you share a space with"],
  ["public", "Public", "your profile, to everyone"],
];

export async function account({ main, router }) {
  if (session.guest) return guest(main, router);
  const me = await session.http("GET", "/api/users/profile");
  put(
    main,
    h(
      "header.head",
      null,
      h("h1", null, "Account"),
      signOut("Sign out", router),
    ),
    h(
      "div.two",
      null,
      h("div.stack", null, profile(me), consent(me)),
      h("div.stack", null, identity(me), colours(), sessions(), password(), ending(router)),
    ),
  );
  return { title: "Account" };
}

function guest(main, router) {
  put(
    main,
    h("h1", null, "Account"),
    h(
      "p.lede",
      null,
      "You are here as the guest ",
      h("bdi", null, session.me.name),
      ". Nothing of yours outlives the visit.",
    ),
    h(
      "div.two",
      null,
      h(
        "section.card.stack",
        null,
        h("h2", null, "Stay"),
        h("p", null, "With an account you keep your name, a state of your own, and the rituals."),
        h(
          "div.actions",
          null,
          signOut("Leave, and make an account", router, "primary"),
        ),
      ),
      colours(),
    ),
  );
  return { title: "Account" };
}

function signOut(label, router, kind = "") {
  const go = async () => {
    await session.signOut();
    router.go("/enter");
  };
  const control = button(label, () => busy(control, go), { kind });
  return control;
}

function profile(me) {
  return h(
    "section.card",
    { "aria-labelledby": "profile" },
    h("h2", { id: "profile" }, "Profile"),
    form(
      [
        field("spiritual_name", "Name", {
          maxlength: 100,
          value: me.spiritual_name,
          autocomplete: "nickname",
          hint: "How the others see you.",
        }),
        field("sacred_path", "Path", {
          maxlength: 100,
          value: me.sacred_path,
          optional: true,
          hint: "A word for the way you are on.",
        }),
        choice("privacy_level", "Who may see you", PRIVACY, me.privacy_level),
      ],
      {
        label: "Keep it so",
        submit: async ({ spiritual_name: name, sacred_path: path, ...rest }) => {
          await session.http("PUT", "/api/users/profile", {
            body: { ...rest, spiritual_name: name.trim() || null, sacred_path: path.trim() || null },
          });
          await session.refresh();
          toast("Kept.");
        },
      },
    ),
  );
}

function consent(me) {
  const agree = tick("oracle_consent", "A language model may see my state and my runs, where the server has one", {
    checked: me.oracle_consent,
  });
  agree.control.addEventListener("change", async () => {
    try {
      await session.http("PUT", "/api/users/profile", { body: { oracle_consent: agree.control.checked } });
      toast(agree.control.checked ? "The oracle may use a model for you." : "Your state stays on this server.");
    } catch (error) {
      agree.control.checked = !agree.control.checked;
      toast(inWords(error), { wrong: true });
    }
  });
  return h(
    "section.card",
    { "aria-labelledby": "oracle" },
    h("h2", { id: "oracle" }, "The oracle"),
    h("p.muted", null, "Without your consent nothing of yours is sent anywhere: rules answer in the model's place."),
    agree.element,
  );
}

function identity(me) {
  return h(
    "section.card",
    { "aria-labelledby": "identity" },
    h("h2", { id: "identity" }, "You"),
    h(
      "dl.facts-list",
      null,
      h("div", null, h("dt", null, "Email"), h("dd", null, h("bdi", null, me.email))),
      h("div", null, h("dt", null, "Here since"), h("dd", null, dateTime(me.created_at))),
      h("div", null, h("dt", null, "Your id"), h("dd.mono.small", null, me.id)),
    ),
    h("p.muted.small", null, "Give your id to a facilitator who wants to invite you."),
  );
}

function colours() {
  const chosen = choice("theme", "Colours", Object.entries(LABELS), theme());
  chosen.element.addEventListener("change", () => setTheme(chosen.control.value));
  return h("section.card", { "aria-label": "Appearance" }, chosen.element);
}

function sessions() {
  const list = h("ul.plain.logins");
  const others = button("Sign out the others", () =>
    attempt(async () => {
      const { sessions: closed } = await session.http("DELETE", "/api/users/sessions");
      toast(closed.length ? `${count(closed.length, "login")} ended.` : "There were no others.");
      await load();
    }),
  );
  const everywhere = button("Sign out everywhere", async () => {
    if (
      !(await confirm(
        "Sign out everywhere?",
        "Every login ends, this one too, on every device.",
        "Sign out everywhere",
      ))
    )
      return;
    await attempt(async () => {
      await session.http("DELETE", "/api/users/sessions", { query: { all: true } });
      session.part("You are signed out everywhere.");
    });
  });
  const load = async () => {
    const rows = await session.http("GET", "/api/users/sessions");
    put(list, rows.map(login));
  };
  const login = ({ id, current, created_at: since, expires_at: until }) =>
    h(
      "li",
      null,
      h(
        "span",
        null,
        current ? "This one" : `Since ${dateTime(since)}`,
        h("span.muted.small", null, ` until ${dateTime(until)}`),
      ),
      current
        ? null
        : button(
            "End",
            () =>
              attempt(async () => {
                await session.http("DELETE", `/api/users/sessions/${id}`);
                await load();
              }),
            { "aria-label": `End the login since ${dateTime(since)}` },
          ),
    );
  load().catch((error) => put(list, h("li.muted", null, inWords(error))));
  return h(
    "section.card",
    { "aria-labelledby": "sessions" },
    h("h2", { id: "sessions" }, "Where you are signed in"),
    list,
    h("div.actions", null, others, everywhere),
  );
}

function password() {
  return h(
    "details.card",
    null,
    h("summary", null, h("h2", null, "Change the password")),
    form(
      [
        field("password", "The password now", { kind: "password", required: true, autocomplete: "current-password" }),
        field("new_password", "The new one", {
          kind: "password",
          required: true,
          autocomplete: "new-password",
          hint: "At least 8 characters.",
        }),
      ],
      {
        label: "Change it",
        kind: "plain",
        submit: async (body, element) => {
          await session.http("PUT", "/api/users/password", { body });
          element.reset();
          toast("The password is changed. Other logins have ended.");
        },
      },
    ),
  );
}

function ending(router) {
  const download = async () => {
    const all = await session.http("GET", "/api/users/export", { timeoutMs: 120_000 });
    const address = URL.createObjectURL(new Blob([JSON.stringify(all, null, 2)], { type: "application/json" }));
    h("a", { href: address, download: "sangha-account.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    toast("The file holds all that the server has of you.");
  };
  const take = button("Export everything", () => busy(take, () => attempt(download)));
  const remove = () =>
    dialog("Delete the account?", (close) => [
      h(
        "p",
        null,
        "Your profile, your state and its whole history go, for good. What you said in spaces stays, under “departed”; rituals you published stay unless you withdraw them before.",
      ),
      form(
        [field("password", "Your password", { kind: "password", required: true, autocomplete: "current-password" })],
        {
          label: "Delete it for good",
          kind: "danger",
          extra: [button("Not now", () => close())],
          submit: async ({ password: given }) => {
            await session.http("DELETE", "/api/users/account", { body: { password: given } });
            close();
            session.part("The account is deleted.");
            router.go("/enter");
          },
        },
      ),
    ]);
  return h(
    "section.card",
    { "aria-labelledby": "yours" },
    h("h2", { id: "yours" }, "What is yours"),
    h("p.muted", null, "Take it with you, or take it away."),
    h(
      "div.actions",
      null,
      take,
      button("Delete the account", remove, { kind: "danger" }),
    ),
  );
}
