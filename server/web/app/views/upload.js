// A ritual of one's own: uploaded, checked (every reason of a refusal is shown), edited.

import { h, link, put } from "../dom.js";
import { field, form, tick, toast } from "../forms.js";
import { session } from "../session.js";
import { DIFFICULTIES, TRADITIONS, title } from "../words.js";

const BYTES_MAX = 4 * 2 ** 20;

const wrong = (path, message) => Object.assign(new Error(message), { code: "invalid", errors: [{ path, message }] });

function describing(told = {}) {
  const energies = Object.entries(told.energy_requirements ?? {})
    .map(([key, level]) => `${key} ${level}`)
    .join("\n");
  const traditions = h(
    "datalist",
    { id: "traditions" },
    TRADITIONS.map((each) => h("option", { value: each })),
  );
  const tradition = field("tradition", "Tradition", {
    maxlength: 100,
    optional: true,
    list: "traditions",
    value: told.tradition,
  });
  tradition.element.append(traditions);
  return [
    field("name", "Name", { required: true, maxlength: 255, value: told.name }),
    field("intent", "Intent", {
      required: true,
      maxlength: 10_000,
      value: told.intent,
      hint: "What it is for, in a sentence.",
    }),
    field("description", "Description", {
      kind: "textarea",
      required: true,
      maxlength: 10_000,
      value: told.description,
      hint: "What it does, so that somebody can decide for it.",
    }),
    tradition,
    field("difficulty_level", "Difficulty", {
      kind: "select",
      options: DIFFICULTIES.map((each) => [each, title(each)]),
      value: told.difficulty_level ?? "beginner",
    }),
    field("required_archetypes", "Archetypes that must be active", {
      optional: true,
      value: (told.required_archetypes ?? []).join(", "),
      hint: "Separated by commas.",
    }),
    field("energy_requirements", "Energies that it needs", {
      kind: "textarea",
      rows: 2,
      optional: true,
      value: energies,
      hint: "One a line, with its level from 0 to 1: fire 0.2",
    }),
    tick("is_public", "Public: everyone may find and run it", { checked: told.is_public ?? false }),
  ];
}

/** What the server takes. @param {Record<string, any>} values */
function described({ required_archetypes: archetypes, energy_requirements: energies, tradition, ...rest }) {
  return {
    ...rest,
    tradition: tradition.trim() || null,
    required_archetypes: archetypes
      .split(",")
      .map((each) => each.trim())
      .filter(Boolean),
    energy_requirements: Object.fromEntries(
      energies
        .split("\n")
        .map((line) => line.trim())
        .filter(Boolean)
        .map(levelOf),
    ),
  };
}

function levelOf(line) {
  const found = /^(.+?)[\s:=≥]+([0-9.]+)$/u.exec(line);
  const level = Number(found?.[2]);
  if (!found || !(level >= 0 && level <= 1))
    throw wrong("energy_requirements", `“${line}” is not a name and a level from 0 to 1.`);
  return [found[1], level];
}

async function base64(file) {
  const text = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(wrong("wasm_module", "The file cannot be read."));
    reader.readAsDataURL(file);
  });
  return text.slice(text.indexOf(",") + 1);
}

export async function uploadRitual({ main }) {
  if (session.guest) {
    put(main, h("h1", null, "Upload a ritual"), h("p.lede", null, "Guests cannot upload rituals; an account can."));
    return { title: "Upload a ritual" };
  }
  const module = field("wasm_module", "Module", {
    kind: "file",
    accept: ".wasm,application/wasm",
    hint: "A WebAssembly module of up to 4 MiB. “sangha ritual new” writes one to begin with.",
  });
  const language = field("module_language", "Written in", {
    optional: true,
    maxlength: 50,
    placeholder: "rust, c, wat …",
  });
  const reasons = h("div", { "aria-live": "polite" });
  put(
    main,
    h("p.back", null, link("/rituals", "All rituals")),
    h("h1", null, "Upload a ritual"),
    h(
      "p.lede",
      null,
      "It is compiled and run once on an empty state before it is taken in. It stays yours alone until you publish it.",
    ),
    h(
      "div.narrow.card",
      null,
      form([module, ...describing(), language], {
        label: "Check and upload",
        submit: async ({ module_language: written, ...values }) => {
          put(reasons);
          const [file] = module.control.files;
          if (!file) throw wrong("wasm_module", "Please choose a file.");
          if (file.size > BYTES_MAX)
            throw wrong("wasm_module", `The file has ${(file.size / 2 ** 20).toFixed(1)} MiB; 4 are allowed.`);
          const body = {
            ...described(values),
            wasm_module: await base64(file),
            ...(written ? { module_language: written } : {}),
          };
          try {
            const made = await session.http("POST", "/api/rituals/upload", { body, timeoutMs: 90_000 });
            toast("It is in the catalog.");
            location.hash = `/ritual/${made.id}`;
          } catch (error) {
            if (error.code !== "ritual_rejected") throw error;
            put(reasons, refused(error));
          }
        },
      }),
      reasons,
    ),
  );
  return { title: "Upload a ritual" };
}

/** Every reason why a module is not taken in. */
function refused(error) {
  const all = error.errors?.length ? error.errors.map(({ message }) => message) : [error.message];
  const element = h(
    "section.note.wrong",
    { tabindex: "-1" },
    h("h3", null, all.length > 1 ? `Not taken in, for ${all.length} reasons` : "Not taken in"),
    h(
      "ul",
      null,
      all.map((each) => h("li", null, each)),
    ),
    h("p.small", null, "“sangha ritual check” says the same on your own machine."),
  );
  queueMicrotask(() => element.focus());
  return element;
}

export async function editRitual({ main, parameters }) {
  const told = await session.http("GET", `/api/rituals/${encodeURIComponent(parameters.id)}/details`);
  put(
    main,
    h("p.back", null, link(`/ritual/${told.id}`, "The ritual")),
    h("h1", null, "Edit the ritual"),
    h("p.lede", null, "What is said of it can change; its module cannot, so that a recorded run keeps its meaning."),
    h(
      "div.narrow.card",
      null,
      form(describing(told), {
        label: "Keep it so",
        submit: async (values) => {
          await session.http("PATCH", `/api/rituals/${told.id}`, { body: described(values) });
          toast("Changed.");
          location.hash = `/ritual/${told.id}`;
        },
      }),
    ),
  );
  return { title: "Edit the ritual" };
}
