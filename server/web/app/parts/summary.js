// What a group ritual was: who took part, how it went, what the circle has in common, the oracle's words, one's own change.

import { h, link, name, put } from "../dom.js";
import { callThem, count, dateTime, duration, list, title, two } from "../words.js";
import { picture } from "./picture.js";

const FATES = {
  failed: "were left as they were",
  absent: "were away at the opening",
  left: "left during the opening",
  late: "came after the opening",
  witnesses: "watched",
};

/** The summary of a ritual that is over. */
export function summary(told, room, session) {
  const names = (ids) =>
    list(
      ids.map((id) => (id === session.me?.id ? "You" : callThem(room.nameOf(id)))),
      6,
    );
  const done = told.outcome === "completed";
  const own = h("div.rite-own");
  if (told.participants.includes(session.me?.id))
    ownChange(told, session)
      .then((each) => each && put(own, each))
      .catch(() => {});
  return h(
    "article.rite-summary",
    null,
    h(
      "header.rite-head",
      null,
      h("h2", null, name(title(told.ritual.name)), done ? "" : " was ended"),
      told.intention ? h("p.rite-intention", { dir: "auto" }, told.intention) : null,
      h(
        "p.muted.small",
        null,
        `${dateTime(told.closed_at)} · ${duration(told.duration_s)}`,
        told.reason ? ` · ${told.reason}` : "",
      ),
    ),
    h(
      "dl.rite-facts",
      null,
      fact("Took part", told.participants.length ? h("bdi", null, names(told.participants)) : "Nobody"),
      fact("Transformed", `${told.transformed} of ${told.counts.participants}`),
      told.collective?.coherence?.r === null || !told.collective
        ? null
        : fact("Coherence", two(told.collective.coherence.r)),
      told.collective?.mean_intensity === undefined
        ? null
        : fact("Mean intensity", two(told.collective.mean_intensity)),
    ),
    fates(told, names),
    collective(told.collective),
    oracle(told),
    own,
  );
}

const fact = (term, value) => h("div", null, h("dt", null, term), h("dd.number", null, value));

function fates(told, names) {
  const rows = Object.entries(FATES).flatMap(([key, words]) => {
    const ids = (told[key] ?? []).map((each) => each.practitioner ?? each);
    return ids.length
      ? [h("li", null, h("bdi", null, names(ids)), ` ${ids.length === 1 ? words.replace(/^were/, "was") : words}`)]
      : [];
  });
  return rows.length ? h("ul.muted.small", null, rows) : null;
}

/** Mean and spread of what the circle brought: the state that they have in common. */
function collective(shared) {
  if (!shared) return null;
  const rows = [...Object.entries(shared.archetypes ?? {}), ...Object.entries(shared.energies ?? {})];
  const symbols = Object.entries(shared.symbols ?? {});
  if (!rows.length && !symbols.length) return null;
  return h(
    "section",
    null,
    h("h3", null, "What you brought together"),
    rows.length
      ? h(
          "ul.plain.shared",
          null,
          rows.map(([key, { mean, sd, n }]) =>
            h(
              "li",
              null,
              h("bdi.name", null, key),
              meter(mean, sd),
              h(
                "span.number.small",
                null,
                two(mean),
                h("span.muted", null, ` ± ${two(sd)} · ${count(n, "person", "people")}`),
              ),
            ),
          ),
        )
      : null,
    symbols.length
      ? h(
          "p",
          null,
          "Symbols: ",
          symbols.map(([symbol, n]) => h("span.tag", null, h("bdi", null, symbol), n > 1 ? ` ×${n}` : "")),
        )
      : null,
  );
}

function meter(mean, sd) {
  const bar = h("span.meter", { "aria-hidden": "true" }, h("span.meter-spread"), h("span.meter-fill"));
  bar.style.setProperty("--mean", mean);
  bar.style.setProperty("--low", Math.max(0, mean - sd));
  bar.style.setProperty("--high", Math.min(1, mean + sd));
  return bar;
}

function oracle(told) {
  if (!told.insight) return told.insight_error ? h("p.muted", null, "The oracle keeps silent this time.") : null;
  return words(told.insight, "What the oracle says to the circle");
}

/** The oracle's words; each of its sentences carries in brackets what it rests on. */
export function words(insight, heading) {
  const lists = [
    insight.symbolic_analysis ?? insight.archetypal_analysis,
    insight.integration_guidance ?? insight.integration_suggestions,
    insight.cautions,
  ].filter((each) => each?.length);
  const rests = [];
  const plain = (text) =>
    text.replaceAll(/\s*\(([^()]*: [^()]*)\)/g, (_, why) => {
      rests.push(why);
      return "";
    });
  const body = [
    h("p.oracle-words", { dir: "auto" }, plain(insight.interpretation)),
    lists.map((each) =>
      h(
        "ul",
        null,
        each.map((line) => h("li", { dir: "auto" }, plain(line))),
      ),
    ),
  ];
  const sure = insight.confidence_score === null ? "" : ` · sure to ${Math.round(insight.confidence_score * 100)} %`;
  const source = insight.oracle_model?.startsWith("rules") ? "spoken by rules, not by a model" : insight.oracle_model;
  return h(
    "section.oracle",
    null,
    heading ? h("h3", null, heading) : null,
    body,
    rests.length
      ? h(
          "details",
          null,
          h("summary", null, "What this rests on"),
          h(
            "ul.small.muted",
            null,
            rests.map((why) => h("li", null, why)),
          ),
        )
      : null,
    h(
      "p.muted.small",
      null,
      `The oracle is a mirror, not a judge · ${source}${sure}`,
      insight.notice ? ` · ${insight.notice}` : "",
    ),
  );
}

async function ownChange(told, session) {
  const runs = await session.http("GET", "/api/rituals/sessions", { query: { limit: 20 } });
  const mine = runs.find((run) => run.group_id === told.ritual_run);
  if (!mine) return null;
  const run = await session.http("GET", `/api/rituals/sessions/${mine.id}`);
  if (run.status !== "completed")
    return h(
      "section",
      null,
      h("h3", null, "You"),
      h("p", null, `Your state is as it was: ${run.error_message ?? "the ritual did not come to its end"}.`),
    );
  return h(
    "section",
    null,
    h("h3", null, "You, before and after"),
    picture(run.post_state, run.pre_state),
    h("p", null, link(`/run/${run.id}`, "Write down what you felt")),
  );
}
