// Shows /asyncapi.json: every request with its fields, bounds, example and result, every push, errors, close codes, limits.
// What it says is all in the document; nothing is known here but how AsyncAPI and JSON Schema are read.

import { h, put } from "/static/app/dom.js";
import { applyTheme } from "/static/app/theme.js";

const UUID = /^\^\[0-9a-f\]\{8\}/;
const content = document.getElementById("content");
const contents = document.getElementById("contents");

let whole;

const at = (reference) => reference.slice(2).split("/").reduce((found, part) => found[part], whole);
const resolved = (schema) => (schema?.$ref ? { ...resolved(at(schema.$ref)), ...without(schema, "$ref") } : schema ?? {});
const without = (object, name) => Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));
const anchor = (name) => name.replaceAll(" ", "-");

/** Text with `code` in it, as elements. */
const words = (text = "") => text.split("`").map((part, n) => (n % 2 ? h("code", null, part) : part));

/** A schema's kind in a few words. */
function kind(schema) {
  const known = resolved(schema);
  if ("const" in known) return JSON.stringify(known.const);
  if (known.enum) return known.enum.map((each) => JSON.stringify(each)).join(" or ");
  const either = known.anyOf ?? known.oneOf;
  if (either) return [...new Set(either.map(kind))].join(" or ");
  if (UUID.test(known.pattern)) return "UUID";
  if (known.format === "date-time") return "time";
  if (known.prefixItems) return `${known.prefixItems.length} × ${[...new Set(known.prefixItems.map(kind))].join(" or ")}`;
  if (known.type === "array") return `list of ${kind(known.items)}`;
  if (known.type === "object" && !known.properties && known.additionalProperties) return `object of ${kind(known.additionalProperties)}`;
  return known.type ?? "any JSON";
}

/** The bounds of a schema, each a phrase. */
function bounds(schema) {
  const known = resolved(schema);
  const found = (known.anyOf ?? []).flatMap(bounds);
  const { minimum, maximum, minLength, maxLength, pattern } = known;
  if (minimum !== undefined && maximum !== undefined) found.push(`${minimum} to ${maximum}`);
  else if (minimum !== undefined) found.push(`at least ${minimum}`);
  else if (maximum !== undefined) found.push(`at most ${maximum}`);
  if (minLength !== undefined && maxLength !== undefined) found.push(`${minLength} to ${maxLength} characters`);
  else if (maxLength !== undefined) found.push(`at most ${maxLength} characters`);
  if (pattern && !UUID.test(pattern) && !/\\x00/.test(pattern)) found.push(pattern);
  return found;
}

/** The object that a schema is about: itself, what is in a list, what it may be beside null. */
function inner(schema) {
  const known = resolved(schema);
  if (known.properties) return known;
  for (const below of [known.items, known.additionalProperties, ...(known.anyOf ?? [])]) {
    const found = below && typeof below === "object" ? inner(below) : null;
    if (found) return found;
  }
  return null;
}

const described = (schema) => resolved(schema).description ?? (resolved(schema).anyOf ?? []).map(described).find(Boolean) ?? "";

function row(name, schema, needed, depth) {
  const below = depth > 0 ? inner(schema) : null;
  const { default: value } = resolved(schema);
  return h("tr", null,
    h("th", { scope: "row" }, name, needed && h("span.need", { title: "must be given" }, " *")),
    h("td", null, kind(schema), bounds(schema).map((each) => h("span.bounds", null, each))),
    h("td", null,
      words(described(schema)),
      value !== undefined && value !== null && h("span.bounds", null, "default ", h("code", null, JSON.stringify(value))),
      below && h("details", null, h("summary", null, "its fields"), table(below, [], depth - 1))));
}

/** The fields of an object's schema. Those of the envelope are left out. */
function table(schema, left = [], depth = 4, marks = false) {
  const rows = Object.entries(schema.properties ?? {})
    .filter(([name]) => !left.includes(name))
    .map(([name, each]) => row(name, each, marks && schema.required?.includes(name), depth));
  return rows.length ? h("table.fields", null, h("tbody", null, rows)) : h("p.empty", null, "No fields.");
}

/** JSON with its keys and texts told apart. */
function code(value) {
  const text = JSON.stringify(value, null, 2).replace(/\[\s+([^[\]{}]{0,60}?)\s+\]/g, (_, one) => `[${one.replace(/\s*\n\s*/g, " ")}]`);
  return h("pre", { tabindex: 0 }, text.split(/("(?:[^"\\]|\\.)*")(?=(:)?)/).map((part, n, parts) => {
    if (n % 3 === 1) return h(parts[n + 1] ? "span.key" : "span.text", null, part);
    return n % 3 === 0 ? part : "";
  }));
}

const figure = (title, value) => h("figure", null, h("figcaption", null, words(title)), code(value));
const heading = (name) => h("h3", null, h("a", { href: `#${anchor(name)}` }, name));
const message = (reference) => at(at(reference.$ref).$ref);

/** One request: fields, example, result. The result of the first example is the one that has its id. */
function request(name, operation) {
  const asked = message(operation.messages[0]);
  const result = message(operation.reply.messages[0]);
  const answer = resolved(result.payload).properties.result;
  const [example, reply] = [asked.examples?.[0], result.examples?.[0]];
  return h("section.card.message", { id: anchor(name) }, heading(name), h("p", null, words(operation.summary)),
    table(resolved(asked.payload), ["id", "type"], 4, true),
    h("div.pair", null, example && figure(example.summary ?? "for example", example.payload), reply && figure("the answer", reply.payload)),
    h("details", null, h("summary", null, "all fields of the result"), h("p.small", null, words(described(answer))), table(resolved(answer))));
}

/** One push. */
function push(known) {
  const payload = resolved(known.payload);
  const body = payload.properties.body ?? payload.properties.state;
  const shown = body ? inner(body) ?? {} : payload;
  return h("section.card.message", { id: anchor(known.name) }, heading(known.name), h("p", null, words(known.summary)),
    body ? h("h4", null, payload.properties.body ? "fields of body" : "fields of state") : null,
    body && !shown.properties ? h("p.empty", null, kind(body)) : table(shown, ["type", "stream", "event"]),
    known.examples?.[0] && h("details", { open: !payload.properties.state }, h("summary", null, "for example"), code(known.examples[0].payload)));
}

const part = (title, lede, ...children) => h("section.part", { id: anchor(title) }, h("h2", null, title), lede && h("p", null, words(lede)), children);

const facts = (entries) => h("table.fields.facts", null, h("tbody", null,
  entries.map(([name, said, value]) => h("tr", null, h("th", { scope: "row" }, name), h("td", null, words(said)), value !== undefined && h("td.number", null, value)))));

function parts() {
  const operations = Object.entries(whole.operations).filter(([, each]) => each.channel.$ref === "#/channels/ws");
  const requests = operations.filter(([, each]) => each.action === "receive");
  const told = operations.filter(([, each]) => each.action === "send");
  const error = whole.components.messages.error;
  const seen = new Set();
  const sections = told.map(([name, operation]) => {
    const news = operation.messages.map(message).filter((each) => !seen.has(each.name) && seen.add(each.name));
    return [operation.title ?? name, operation.summary, news.map((each) => [each.name, push(each)])];
  });
  return [
    ["Requests", "`*` marks what must be given. `id` and `type` are in every request.", requests.map(([name, each]) => [name, request(name, each)])],
    ...sections,
    ["Errors", error.summary, [["error", h("div", null, h("div.pair", null, error.examples.map((each) => figure(each.summary ?? "for example", each.payload))),
      facts(Object.entries(whole["x-error-codes"]).map(([name, each]) => [name, each.description, each.retryable ? "retryable" : "final"])))]]],
    ["Close codes", "", [["codes", facts(Object.entries(whole["x-close-codes"]).map(([name, each]) => [name, each]))]]],
    ["Limits", "Of this server.", [["limits", facts(Object.entries(whole["x-limits"]).map(([name, each]) => [name, each.description, String(each.value)]))]]],
  ];
}

/** The list on the side; typing narrows it. */
function index(shown) {
  const wide = matchMedia("(min-width: 62rem)").matches;
  const links = [];
  const groups = shown.map(([title, , entries]) => {
    const items = entries.length > 1 ? entries.map(([name]) => {
      const item = h("li", null, h("a", { href: `#${anchor(name)}` }, name));
      links.push([name, item]);
      return item;
    }) : [h("li", null, h("a", { href: `#${anchor(title)}` }, title))];
    return h("details", { open: wide }, h("summary", null, title), h("ul", null, items));
  });
  const narrow = ({ target }) => {
    for (const [name, item] of links) item.hidden = !name.includes(target.value.trim().toLowerCase());
    for (const group of groups) group.open = wide || target.value !== "";
  };
  put(contents, h("label.hidden-visually", { for: "find" }, "Find a message"), h("input", { id: "find", type: "search", placeholder: "Find a message", oninput: narrow }), groups);
}

async function show() {
  applyTheme();
  whole = await (await fetch("/asyncapi.json")).json();
  const server = Object.values(whole.servers)[0];
  const address = `${server.protocol}://${server.host}${whole.channels.ws.address}`;
  const shown = parts();
  index(shown);
  put(content,
    h("h1", null, "Over the WebSocket"),
    h("p.lede", null, h("code", null, address)),
    h("section.part", { id: "begin" }, h("p", null, words(whole.info.description)), h("p", null, words(server.description))),
    shown.map(([title, lede, entries]) => part(title, lede, entries.map(([, element]) => element))));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

show().catch((failure) => put(content, h("p.note.wrong", null, `The document could not be read: ${failure.message}. `, h("a", { href: "/docs/ws" }, "Try again"))));
