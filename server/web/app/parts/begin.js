// Beginning a group ritual in one's own space: which, with what intention, when.

import { button, h } from "../dom.js";
import { dialog, field, folded, form, toast } from "../forms.js";
import { title } from "../words.js";

/** A ritual's parameters: any JSON object; most rituals need none. */
export function parametersField() {
  return folded(
    field("parameters", "Parameters", {
      kind: "textarea",
      optional: true,
      rows: 2,
      spellcheck: "false",
      placeholder: '{"archetype": "Self"}',
      hint: "What the ritual asks for, as JSON.",
    }),
    "With parameters",
  );
}

/** The parameters that were typed. Throws like the server does where they are no JSON object. */
export function parametersOf(text) {
  if (!text.trim()) return {};
  try {
    const value = JSON.parse(text);
    if (value && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {
    // told below, like any other value that is no object
  }
  throw Object.assign(new Error("parameters"), {
    code: "invalid",
    errors: [{ path: "parameters", message: 'This is not a JSON object such as {"archetype": "Self"}.' }],
  });
}

/** When it opens: so many seconds from now, or at a time. Throws like the server does where that is none. @param {Record<string, any>} values */
function timesOf({ starts_in_s: within, at, opening_s: opening, integration_s: integration }) {
  const lasts = { opening_s: Number(opening), integration_s: Number(integration) };
  if (within !== "at") return { ...lasts, starts_in_s: Number(within) };
  const when = new Date(at);
  if (Number.isNaN(when.getTime()))
    throw Object.assign(new Error("at"), {
      code: "invalid",
      errors: [{ path: "at", message: "Please choose a day and a time." }],
    });
  return { ...lasts, at: when.toISOString() };
}

export async function beginRitual(room, session) {
  const rituals = await session.http("GET", "/api/rituals/catalog", { query: { limit: 200 } });
  const at = field("at", "Day and time", {
    kind: "datetime-local",
    hint: "By your clock; people gather from a minute before.",
  });
  at.element.hidden = true;
  await dialog("Begin a ritual together", (close) => [
    h(
      "p.muted",
      null,
      "Everyone who is here at the opening is transformed, each in their own state, in the same moment.",
    ),
    form(
      [
        field("ritual", "Ritual", { kind: "select", options: rituals.map(({ id, name }) => [id, title(name)]) }),
        field("intention", "Intention", { kind: "textarea", maxlength: 2000, rows: 2, optional: true }),
        field("starts_in_s", "It opens in", {
          kind: "select",
          value: "30",
          options: [
            ["10", "10 seconds"],
            ["30", "30 seconds"],
            ["60", "a minute"],
            ["300", "5 minutes"],
            ["900", "15 minutes"],
            ["3600", "an hour"],
            ["at", "at a time of its own"],
          ],
        }),
        at,
        field("opening_s", "Opening", {
          kind: "number",
          min: 0,
          max: 600,
          value: 5,
          hint: "Seconds of silence before it begins.",
          inputmode: "numeric",
        }),
        field("integration_s", "Integration", {
          kind: "number",
          min: 0,
          max: 600,
          value: 20,
          hint: "Seconds to stay together after it.",
          inputmode: "numeric",
        }),
        parametersField(),
      ],
      {
        label: "Call everyone",
        extra: [button("Not now", () => close())],
        oninput: ({ target }) => {
          if (target.name === "starts_in_s") at.element.hidden = target.value !== "at";
        },
        submit: async ({ ritual, intention, parameters, ...times }) => {
          await session.request("space.ritual.begin", {
            space: room.id,
            ritual,
            intention,
            parameters: parametersOf(parameters),
            ...timesOf(times),
          });
          close();
          toast(times.starts_in_s === "at" ? "It is planned." : "The circle gathers.");
        },
      },
    ),
  ]);
}
