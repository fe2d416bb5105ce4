// The catalog: rituals that are public, and one's own.

import { h, link, name, put } from "../dom.js";
import { field } from "../forms.js";
import { paged } from "../parts/paged.js";
import { session } from "../session.js";
import { DIFFICULTIES, TRADITIONS, count, title } from "../words.js";

const PAGE = 24;

export async function rituals({ main, query }) {
  const any = (label, values) => [["", label], ...values.map((each) => [each, title(each)])];
  const filters = [
    field("q", "Search", { kind: "search", maxlength: 100, value: query.get("q") ?? "", placeholder: "A word" }),
    field("tradition", "Tradition", { kind: "select", options: any("Any", TRADITIONS) }),
    field("difficulty", "Difficulty", { kind: "select", options: any("Any", DIFFICULTIES) }),
    field("sort", "Order", {
      kind: "select",
      options: [
        ["newest", "Newest"],
        ["rating", "Best rated"],
        ["usage", "Most used"],
      ],
    }),
  ];
  const mine =
    session.signedIn && !session.guest
      ? field("mine", "Whose", {
          kind: "select",
          options: [
            ["", "Everyone's"],
            ["true", "My own"],
          ],
        })
      : null;
  const all = mine ? [...filters, mine] : filters;
  const list = paged({
    label: "Rituals",
    one: "ritual",
    spec: "ul.plain.card-grid",
    size: PAGE,
    controls: all.map(({ control }) => control),
    ask: (page) => {
      const chosen = Object.fromEntries(all.map(({ key, control }) => [key, control.value.trim() || undefined]));
      return session.http("GET", "/api/rituals/catalog", { query: { ...chosen, ...page } });
    },
    item: card,
    nothing,
  });
  put(
    main,
    h(
      "header.head",
      null,
      h("h1", null, "Rituals"),
      session.signedIn && !session.guest ? h("a.button", { href: "#/rituals/upload" }, "Upload one") : null,
    ),
    h(
      "p.lede",
      null,
      "Small programs that change one's archetypal state, gently and by known rules. They cannot see or touch anything else.",
    ),
    h(
      "search.filters",
      null,
      all.map(({ element }) => element),
    ),
    list.elements,
  );
  await list.load();
  return { title: "Rituals", end: list.end };
}

const nothing = () =>
  h(
    "li.empty",
    null,
    h("p.lede", null, "No ritual has these words."),
    h("p", null, "Take a filter away, or write one: a small WebAssembly module is all it needs."),
  );

/** How it is rated, in words and a number. */
export const rated = ({ rating_count: n, effectiveness_rating: mean }) =>
  n ? `${Number(mean).toFixed(1)} of 10 (${count(n, "rating")})` : "not yet rated";

function card(ritual) {
  const [first] = ritual.description.split("\n");
  return h(
    "li.card.ritual-card",
    null,
    h("h2", null, link(`/ritual/${ritual.id}`, name(title(ritual.name)))),
    h("p.ritual-intent", { dir: "auto" }, ritual.intent),
    h("p.small.clamp", { dir: "auto" }, first),
    h(
      "p.facts",
      null,
      ritual.tradition ? h("span.tag", null, h("bdi", null, ritual.tradition)) : null,
      h("span.tag", null, ritual.difficulty_level),
      ritual.is_public ? null : h("span.tag", null, "only yours"),
      h("span.muted.small", null, `${rated(ritual)} · ${count(ritual.usage_count, "run")}`),
    ),
  );
}
