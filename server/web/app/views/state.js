// One's own archetypal state: as a picture, changed by hand, reflected on, its runs, and its history.

import { button, busy, h, link, put } from "../dom.js";
import { attempt, field, form, toast } from "../forms.js";
import { picture } from "../parts/picture.js";
import { words } from "../parts/summary.js";
import { timeline } from "../parts/timeline.js";
import { session } from "../session.js";
import { inWords } from "../words.js";
import { runRow } from "./ritual.js";

const CHANGES = {
  archetype_activation: { label: "An archetype becomes so strong", key: "archetype", number: "strength" },
  energy_adjustment: { label: "An energy has this level", key: "energy", number: "level" },
  symbol: { label: "A symbol has appeared", key: "symbol" },
  integration: { label: "Something is integrated", key: "integration" },
  transformation_open: { label: "A transformation begins", key: "transformation" },
  transformation_close: { label: "A transformation is complete", key: "transformation" },
};

export async function state({ main }) {
  if (session.guest) {
    put(
      main,
      h("h1", null, "My state"),
      h(
        "p.lede",
        null,
        "Guests have none: nothing of theirs outlives the visit. With an account a state is yours, and every change of it is kept.",
      ),
    );
    return { title: "My state" };
  }
  const now = h("div", null);
  const history = timeline(session);
  const runs = h("ul.plain.runs");
  const draw = async () => {
    const current = await session.request("state.get");
    put(
      now,
      current.under_way ? h("p.note", null, "A ritual is under way; the state changes when it ends.") : null,
      picture(current.archetypal_state),
    );
  };
  const drawRuns = async () => {
    const rows = await session.http("GET", "/api/rituals/sessions", { query: { limit: 6 } });
    put(
      runs,
      rows.length ? rows.map(runRow) : h("li.muted", null, "None yet. ", link("/rituals", "Look at the rituals"), "."),
    );
  };
  const again = () => attempt(() => Promise.all([draw(), history.reload(), drawRuns()]));
  const own = (/** @type {any} */ { detail }) =>
    ["archetypal_state_updated", "ritual_completed", "ritual_started"].includes(detail.event) && again();
  put(
    main,
    h("h1", null, "My state"),
    h("p.lede", null, "Archetypes and energies from 0 to 1, and what is being lived through. Only you see it."),
    h(
      "div.two",
      null,
      h("section.card", { "aria-labelledby": "now" }, h("h2.hidden-visually", { id: "now" }, "As it is now"), now),
      h(
        "div.stack",
        null,
        changing(),
        reflecting(),
        h("section.stack", { "aria-labelledby": "recent" }, h("h2", { id: "recent" }, "Your rituals"), runs),
      ),
    ),
    history.element,
  );
  session.addEventListener("own", own);
  await Promise.all([draw(), history.load(), drawRuns()]);
  return { title: "My state", end: () => session.removeEventListener("own", own) };
}

function changing() {
  const kind = field("kind", "What has changed", {
    kind: "select",
    options: Object.entries(CHANGES).map(([key, { label }]) => [key, label]),
  });
  const called = field("name", "Its name", { required: true, maxlength: 100, placeholder: "Light, fire, a key …" });
  const level = field("level", "How strong", {
    kind: "number",
    min: 0,
    max: 1,
    step: "0.05",
    value: "0.5",
    hint: "From 0 to 1.",
    inputmode: "decimal",
  });
  const fit = () => {
    level.element.hidden = !CHANGES[kind.control.value].number;
  };
  kind.control.addEventListener("input", fit);
  const element = form([kind, called, level], {
    label: "Write it down",
    kind: "plain",
    submit: async (values) => {
      const { key, number } = CHANGES[values.kind];
      const parameters = { [key]: values.name.trim(), ...(number ? { [number]: Number(values.level) } : {}) };
      await session.request("state.transform", { transformation_type: values.kind, parameters });
      called.control.value = "";
      toast("Written down.");
    },
  });
  fit();
  return h("details.card", null, h("summary", null, h("h2", null, "Change it by hand")), element);
}

function reflecting() {
  const said = h("div", { "aria-live": "polite" });
  const ask = button("Ask the oracle", async () => {
    try {
      put(said, words(await busy(ask, () => session.http("POST", "/api/state/reflection", { body: {} }))));
    } catch (error) {
      put(said, h("p.note.wrong", null, inWords(error)));
    }
  });
  return h(
    "section.card",
    { "aria-labelledby": "reflection" },
    h("h2", { id: "reflection" }, "Reflection"),
    h("p.muted", null, "What this state may mean, said by the oracle. Take what rings true."),
    said,
    h("div.actions", null, ask),
  );
}
