// One ritual: what it does, its bounds, and running it on one's own state, with the state before and after.

import { button, h, link, name, prose, put, stillness } from "../dom.js";
import { attempt, confirm, field, form } from "../forms.js";
import { parametersField, parametersOf } from "../parts/begin.js";
import { picture } from "../parts/picture.js";
import { session } from "../session.js";
import { count, dateTime, title, two } from "../words.js";
import { rated } from "./rituals.js";

export async function ritual({ main, parameters, router }) {
  const told = await session.http("GET", `/api/rituals/${encodeURIComponent(parameters.id)}/details`);
  const mine = told.author_id !== null && told.author_id === session.me?.id;
  const [first, ...rest] = told.description.split("\n\n");
  put(
    main,
    h("p.back", null, link("/rituals", "All rituals")),
    h("header.head", null, h("h1", null, name(title(told.name))), mine ? authors(told, router) : null),
    h("p.lede", { dir: "auto" }, told.intent),
    h(
      "div.two.told-first",
      null,
      h(
        "div.stack",
        null,
        h("p.pre", { dir: "auto" }, first),
        rest.length
          ? h("details.card.fine", null, h("summary", null, "In full"), prose(rest.join("\n\n"), "p.pre.mono"))
          : null,
        facts(told),
      ),
      h("div.stack", null, runner(told), own(told)),
    ),
  );
  return { title: title(told.name) };
}

function facts(told) {
  const needs = [
    ...told.required_archetypes.map((each) => `${each} active`),
    ...Object.entries(told.energy_requirements).map(([key, level]) => `${key} ≥ ${level}`),
  ];
  const rows = [
    ["Tradition", told.tradition ?? "none"],
    ["Difficulty", told.difficulty_level],
    ["Needs", needs.join(", ") || "nothing"],
    ["Rated", rated(told)],
    ["Used", count(told.usage_count, "time")],
    ["Seen by", told.is_public ? "everyone" : "you alone"],
    ["Module", `${told.module_bytes} bytes, ${told.abi}, from ${told.module_language ?? "an unnamed language"}`],
  ];
  return h(
    "dl.card.fine.facts-list",
    null,
    rows.map(([term, value]) => h("div", null, h("dt", null, term), h("dd", null, h("bdi", null, value)))),
    h("div", null, h("dt", null, "SHA-256"), h("dd.mono.small", null, told.wasm_module_hash)),
  );
}

function runner(told) {
  if (!session.signedIn)
    return h(
      "section.card",
      null,
      h("h2", null, "Run it"),
      h("p", null, "A ritual changes a state of your own. ", link("/enter", "Sign in"), " to run it."),
    );
  if (session.guest)
    return h(
      "section.card",
      null,
      h("h2", null, "Run it"),
      h("p", null, "Guests have no state of their own, so there is nothing to change. With an account you can run it."),
    );
  const outcome = h("div.outcome", { "aria-live": "polite" });
  return h(
    "section.card",
    { "aria-labelledby": "run-heading" },
    h("h2", { id: "run-heading" }, "Run it"),
    h("p.muted", null, "On your own state, now. It is changed as a whole, or not at all."),
    form(
      [
        field("intention", "Intention", { kind: "textarea", rows: 2, maxlength: 2000, optional: true }),
        parametersField(),
      ],
      {
        label: "Begin",
        submit: async ({ intention, parameters }) => {
          put(outcome, h("p.muted", null, "Under way…"));
          try {
            const result = await session.request("ritual.run", {
              ritual: told.id,
              intention,
              parameters: parametersOf(parameters),
            });
            put(outcome, await resultOf(result));
            outcome.scrollIntoView({ block: "start", behavior: stillness() ? "auto" : "smooth" });
          } catch (error) {
            put(outcome);
            throw error;
          }
        },
      },
    ),
    outcome,
  );
}

/** What a run brought: in words, as a picture, and where to go on. */
async function resultOf(result) {
  const run = await session.http("GET", `/api/rituals/sessions/${result.session_id}`).catch(() => null);
  const next = result.next_rituals_suggested ?? [];
  return h(
    "section.result",
    { "aria-label": "What it did" },
    h("h3", null, "Before and after"),
    h(
      "p.muted",
      null,
      `Intensity ${two(result.transformation_intensity)}`,
      result.resonance === null ? "" : ` · resonance ${two(result.resonance)}`,
    ),
    picture(result.new_state, run?.pre_state ?? null),
    result.log.length ? h("p", { dir: "auto" }, result.log.join(" · ")) : null,
    result.integration_required.length
      ? h("div.note", null, h("p", null, "It asks for: ", h("bdi", null, result.integration_required.join(", "))))
      : null,
    next.length ? h("p", null, "It suggests next: ", h("bdi", null, next.map(title).join(", "))) : null,
    h(
      "div.actions",
      null,
      h("a.button.primary", { href: `#/run/${result.session_id}` }, "Rate it, write about it"),
      h("a.button", { href: "#/state" }, "My state"),
    ),
  );
}

function own(told) {
  const list = h("ul.plain.runs");
  const element = h(
    "section.stack",
    { hidden: true, "aria-labelledby": "runs-heading" },
    h("h2", { id: "runs-heading" }, "Your runs of it"),
    list,
  );
  if (session.signedIn && !session.guest) {
    session
      .http("GET", "/api/rituals/sessions", { query: { ritual: told.id, limit: 10 } })
      .then((rows) => {
        element.hidden = rows.length === 0;
        put(list, rows.map(runRow));
      })
      .catch(() => {});
  }
  return element;
}

/** A run as a row of a list. */
export function runRow(run) {
  const words = run.status === "completed" ? `intensity ${two(run.transformation_intensity)}` : run.status;
  return h(
    "li",
    null,
    link(`/run/${run.id}`, name(title(run.ritual_name))),
    h("span.muted.small", null, ` ${dateTime(run.created_at)} · ${words}`),
  );
}

function authors(told, router) {
  const withdraw = async () => {
    if (
      !(await confirm(
        "Withdraw this ritual?",
        "Nobody finds or runs it any more, for good. Recorded runs stay.",
        "Withdraw it",
      ))
    )
      return;
    await attempt(async () => {
      await session.http("DELETE", `/api/rituals/${told.id}`);
      router.go("/rituals");
    });
  };
  return h(
    "div.actions",
    null,
    h("a.button", { href: `#/ritual/${told.id}/edit` }, "Edit"),
    button("Withdraw", withdraw, { kind: "danger" }),
  );
}
