// One run of a ritual: the state before and after, a rating, notes, and what the oracle says to it.

import { button, busy, h, link, name, put } from "../dom.js";
import { choice, field, form, toast } from "../forms.js";
import { picture } from "../parts/picture.js";
import { words } from "../parts/summary.js";
import { session } from "../session.js";
import { dateTime, inWords, title, two } from "../words.js";

export async function run({ main, parameters }) {
  const told = await session.http("GET", `/api/rituals/sessions/${encodeURIComponent(parameters.id)}`);
  const done = told.status === "completed";
  put(
    main,
    h("p.back", null, link(`/ritual/${told.ritual_id}`, "The ritual"), " · ", link("/state", "My state")),
    h("h1", null, name(title(told.ritual_name))),
    h(
      "p.muted",
      null,
      dateTime(told.created_at),
      told.group_id ? " · in a circle" : "",
      done ? ` · intensity ${two(told.transformation_intensity)}` : "",
    ),
    told.intention ? h("p.lede", { dir: "auto" }, told.intention) : null,
    done
      ? null
      : h(
          "p.note",
          null,
          told.status === "failed"
            ? `It did not come to its end (${told.error_message}). Your state is as it was.`
            : "It is under way.",
        ),
    h(
      "div.two",
      null,
      h(
        "section.stack",
        { "aria-labelledby": "picture-heading" },
        h("h2", { id: "picture-heading" }, "Before and after"),
        told.post_state
          ? picture(told.post_state, told.pre_state)
          : told.pre_state
            ? picture(told.pre_state)
            : h("p.muted", null, "No state is recorded for it."),
        told.result?.log?.length ? h("p.muted", { dir: "auto" }, told.result.log.join(" · ")) : null,
      ),
      h("div.stack", null, notes(told, done), oracle(told, done)),
    ),
  );
  return { title: `${title(told.ritual_name)}, a run` };
}

function notes(told, done) {
  const rating = choice(
    "effectiveness_rating",
    "How much did it help?",
    Array.from({ length: 10 }, (_, index) => [String(index + 1), String(index + 1)]),
    String(told.effectiveness_rating ?? ""),
  );
  rating.element.classList.add("scale");
  const fields = [
    field("subjective_experience", "What you felt", {
      kind: "textarea",
      maxlength: 10_000,
      value: told.subjective_experience,
      optional: true,
    }),
    field("integration_notes", "What you take with you", {
      kind: "textarea",
      maxlength: 10_000,
      value: told.integration_notes,
      optional: true,
    }),
  ];
  return h(
    "section.card",
    { "aria-labelledby": "notes-heading" },
    h("h2", { id: "notes-heading" }, "Your words"),
    form(done ? [rating, ...fields] : fields, {
      label: "Keep them",
      submit: async ({ effectiveness_rating: stars, ...given }) => {
        const body = {
          ...Object.fromEntries(Object.entries(given).filter(([, text]) => text.trim())),
          ...(stars ? { effectiveness_rating: Number(stars) } : {}),
        };
        if (!Object.keys(body).length) return;
        await session.http("PATCH", `/api/rituals/sessions/${told.id}`, { body });
        toast("Kept.");
      },
    }),
  );
}

function oracle(told, done) {
  const said = h("div", { "aria-live": "polite" });
  const ask = button("Ask the oracle", async () => {
    try {
      put(
        said,
        words(await busy(ask, () => session.http("POST", "/api/state/reflection", { body: { session_id: told.id } }))),
      );
      ask.hidden = true;
    } catch (error) {
      put(said, h("p.note.wrong", null, inWords(error)));
    }
  });
  if (done) {
    session
      .http("GET", "/api/state/insights", { query: { session_id: told.id, limit: 1 } })
      .then(([insight]) => {
        if (!insight) return;
        put(said, words(insight));
        put(ask, "Ask again");
      })
      .catch(() => {});
  }
  return done
    ? h(
        "section.card",
        { "aria-labelledby": "oracle-heading" },
        h("h2", { id: "oracle-heading" }, "Reflection"),
        said,
        h("div.actions", null, ask),
      )
    : null;
}
