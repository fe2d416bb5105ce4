// Forms: a label for each control, the server's faults shown beside the field they belong to and read out with it.

import { busy, h, put, set } from "./dom.js";
import { inWords } from "./words.js";

let made = 0;

/**
 * A labelled control. `kind` is an input's type, "textarea", or "select" with `options` [[value, label]]; the rest are
 * attributes.
 * @param {string} key @param {string} label @param {Record<string, any>} [about]
 */
export function field(key, label, { kind = "text", hint, options, value, optional, ...rest } = {}) {
  const id = `f${++made}`;
  const control = kind === "textarea" ? h("textarea") : kind === "select" ? h("select") : h("input", { type: kind });
  control.append(...(options ?? []).map(([each, text]) => h("option", { value: each }, text)));
  for (const [attribute, each] of Object.entries({ id, name: key, ...rest })) set(control, attribute, each);
  if (value !== undefined && value !== null) control.value = value;
  const fault = h("p.fault", { id: `${id}-fault`, hidden: true });
  const about = hint ? h("p.hint", { id: `${id}-hint` }, hint) : null;
  set(control, "aria-describedby", [about?.id, fault.id].filter(Boolean).join(" "));
  const name = h("label", { for: id }, label, optional ? h("span.optional", null, " optional") : null);
  const element = h("div.field", { "data-field": key }, name, about, control, fault);
  return { key, control, element, fault };
}

/** A field that few need: folded away, until it is opened or something is wrong with it. */
export function folded(each, summary) {
  return { ...each, element: h("details.field-folded", null, h("summary", null, summary), each.element) };
}

/**
 * A checkbox with its label beside it.
 * @param {string} key @param {string} label @param {{checked?: boolean, hint?: string}} [about]
 */
export function tick(key, label, { checked = false, hint } = {}) {
  const id = `f${++made}`;
  const control = h("input", { type: "checkbox", id, name: key });
  control.checked = checked;
  const fault = h("p.fault", { id: `${id}-fault`, hidden: true });
  const about = hint ? h("p.hint", { id: `${id}-hint` }, hint) : null;
  set(control, "aria-describedby", [about?.id, fault.id].filter(Boolean).join(" "));
  return {
    key,
    control,
    fault,
    element: h("div.field", null, h("label.choice", { for: id }, control, h("span", null, label)), about, fault),
  };
}

/** One of a few, as radio buttons; `choices` is [[value, label, says?]]. */
export function choice(key, legend, choices, value) {
  const group = `r${++made}`;
  const fault = h("p.fault", { hidden: true });
  const inputs = choices.map(([each, label, says]) => {
    const input = h("input", { type: "radio", name: group, value: each });
    input.checked = each === value;
    return {
      input,
      row: h("label.choice", null, input, h("span", null, label, says ? h("span.muted", null, ` · ${says}`) : null)),
    };
  });
  const control = {
    get value() {
      return inputs.find(({ input }) => input.checked)?.input.value;
    },
    focus() {
      inputs[0].input.focus();
    },
    setAttribute() {},
  };
  return {
    key,
    control,
    fault,
    element: h(
      "fieldset.field",
      null,
      h("legend.label", null, legend),
      inputs.map(({ row }) => row),
      fault,
    ),
  };
}

function complain(each, message) {
  each.fault.hidden = !message;
  if (message && each.element instanceof HTMLDetailsElement) each.element.open = true;
  each.fault.textContent = message ?? "";
  each.control.setAttribute("aria-invalid", message ? "true" : "false");
}

/** Shows an error: each fault at its field, the rest (and always a first sentence) above. True where a field has one. */
function showFaults(error, fields, note) {
  for (const each of fields) complain(each, null);
  const rest = [];
  let first = null;
  for (const { path, message } of error.errors ?? []) {
    const own = fields.find(({ key }) => path === key || path?.startsWith(`${key}.`) || path?.startsWith(`${key}[`));
    if (!own) rest.push(path ? `${path}: ${message}` : message);
    else complain(own, message);
    first ??= own;
  }
  note.className = "note wrong";
  const plain = first && !rest.length && error.code === "invalid";
  put(
    note,
    h("p", null, plain ? "Please look at what is marked below." : inWords(error)),
    rest.length > 1
      ? h(
          "ul",
          null,
          rest.map((each) => h("li", null, each)),
        )
      : null,
  );
  note.hidden = false;
  (first?.control ?? note).focus();
}

/** A form. `submit(values)` does the work and may throw what the server said. */
export function form(fields, { label, submit, kind = "primary", extra = [], ...attributes }) {
  const note = h("div.note.wrong", { role: "alert", hidden: true, tabindex: "-1" });
  const send = h(`button.${kind}`, { type: "submit" }, label);
  const element = h(
    "form.form",
    { novalidate: true, ...attributes },
    note,
    fields.map((each) => each.element),
    h("div.actions", null, send, extra),
  );
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    note.hidden = true;
    for (const each of fields) complain(each, null);
    if (!required(fields)) return;
    try {
      await busy(send, () => submit(values(fields), element));
    } catch (error) {
      showFaults(error, fields, note);
    }
  });
  return element;
}

function required(fields) {
  const empty = fields.filter(({ control }) => control.required && !String(control.value).trim());
  for (const each of empty) complain(each, "Please fill this in.");
  empty[0]?.control.focus();
  return empty.length === 0;
}

/** What the fields hold, by key. @returns {Record<string, any>} */
function values(fields) {
  return Object.fromEntries(
    fields.map(({ key, control }) => [key, control.type === "checkbox" ? control.checked : control.value]),
  );
}

/** Says that something was done, for a few seconds, also to a screen reader. */
export function toast(text, { wrong = false } = {}) {
  const element = h(`div.toast${wrong ? ".wrong" : ""}`, null, text);
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), wrong ? 9000 : 4500);
}

/** Does what has no form of its own; what goes wrong is told in passing. */
export async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (!error.code) console.error(error);
    toast(inWords(error), { wrong: true });
  }
}

/** A dialog, closed by the Escape key and by whatever leads to another view; resolves with what `build(close)`'s buttons gave. */
export function dialog(heading, build) {
  return new Promise((resolve) => {
    const id = `d${++made}`;
    const element = h("dialog.dialog", { "aria-labelledby": id });
    const close = (value) => {
      removeEventListener("sangha:view", gone);
      element.close();
      element.remove();
      resolve(value);
    };
    const gone = () => close(undefined);
    addEventListener("sangha:view", gone);
    element.addEventListener("cancel", (event) => {
      event.preventDefault();
      gone();
    });
    element.append(h("h2", { id }, heading), ...[build(close)].flat());
    document.body.append(element);
    element.showModal();
  });
}

/** A question to be answered with yes or no. */
export function confirm(heading, text, yes, { danger = true } = {}) {
  return dialog(heading, (close) => [
    h("p", null, text),
    h(
      "div.actions",
      null,
      h(`button.${danger ? "danger" : "primary"}`, { type: "button", onclick: () => close(true) }, yes),
      h("button", { type: "button", onclick: () => close(false) }, "Not now"),
    ),
  ]);
}
