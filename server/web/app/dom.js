// Builds the page's elements. Data becomes text nodes and attribute values, never markup: whatever a name or a message
// contains, it is shown as it is.

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Record<string, any> | null} Attributes */

/** What is shown of children: lists flattened; null, undefined and false are nothing. @param {any[]} children */
const shown = (children) =>
  children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

/**
 * @template {Element} E
 * @param {E} element @param {Attributes | undefined} attributes @param {any[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) set(element, name, value);
  element.append(...shown(children));
  return element;
}

/**
 * Sets one attribute: a function becomes a listener, true an empty attribute; null and false take it away (of a data-
 * attribute they are text).
 * @param {any} element @param {string} name @param {any} value
 */
export function set(element, name, value) {
  if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
  else if (name.startsWith("data-") && typeof value === "boolean") element.setAttribute(name, String(value));
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (name === "value") element.value = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/**
 * An element: `h("button.primary", { type: "button", onclick }, "Enter")`.
 * @param {string} spec @param {Attributes} [attributes] @param {any[]} children
 * @returns {any}
 */
export function h(spec, attributes, ...children) {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  return fill(element, attributes, children);
}

/**
 * The same in SVG.
 * @param {string} spec @param {Attributes} [attributes] @param {any[]} children
 * @returns {SVGElement}
 */
export function svg(spec, attributes, ...children) {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElementNS(SVG, tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  return fill(element, attributes, children);
}

/** Replaces an element's children. @param {Element} element @param {any[]} children */
export function put(element, ...children) {
  element.replaceChildren(...shown(children));
  return element;
}

/**
 * A stranger's name or title: isolated, so that right-to-left marks in it reorder nothing around it.
 * @param {string} text
 */
export const name = (text) => h("bdi.name", null, text);

/** A text of several lines that a stranger wrote. @param {string} text @param {string} [spec] */
export const prose = (text, spec = "p.pre") => h(spec, { dir: "auto" }, text);

/**
 * A button.
 * @param {any} label @param {() => void} onclick @param {Record<string, any>} [attributes]
 * @returns {HTMLButtonElement}
 */
export const button = (label, onclick, { kind = "", ...rest } = {}) =>
  h(`button${kind && `.${kind}`}`, { type: "button", onclick, ...rest }, label);

/** A link to another view of this page. @param {string} path @param {any[]} children */
export const link = (path, ...children) => h("a", { href: `#${path}` }, ...children);

/**
 * While work is under way its button is busy and cannot be pressed again.
 * @template T
 * @param {HTMLButtonElement} control @param {() => Promise<T>} work
 */
export async function busy(control, work) {
  control.disabled = true;
  control.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    control.disabled = false;
    control.removeAttribute("aria-busy");
  }
}

/** Whether the person asked for less motion. */
export const stillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
