// A list that is searched and paged: typing asks anew after a pause, "Show more" goes on where it ended, and an answer that
// was overtaken by a later question is dropped.

import { button, busy, h, put } from "../dom.js";
import { attempt } from "../forms.js";
import { count } from "../words.js";

const PAUSE_MS = 250;

/**
 * A list in pages. `ask(page)` brings the rows of a page (`{limit, before?}`), `item(row)` makes one's element, and
 * `nothing()` what stands there when there is none.
 */
export function paged({ label, one, spec, size, controls, ask, item, nothing }) {
  const list = h(spec, { "aria-label": label });
  const found = h("p.muted", { role: "status" });
  const more = button("Show more", () => busy(more, () => attempt(() => load())), { hidden: true });
  let before;
  let turn = 0;
  let timer = null;

  const load = async ({ anew = false } = {}) => {
    const mine = ++turn;
    const rows = await ask({ limit: size, before: anew ? undefined : before });
    if (mine !== turn) return;
    if (anew) put(list);
    list.append(...rows.map(item));
    before = rows.at(-1)?.id ?? before;
    more.hidden = rows.length < size;
    const shown = list.children.length;
    put(found, shown ? `${count(shown, one)}${more.hidden ? "" : ", and more"}` : "");
    if (!shown) put(list, nothing());
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(() => attempt(() => load({ anew: true })), PAUSE_MS);
  };
  for (const control of controls) control.addEventListener("input", soon);
  return {
    elements: [found, list, h("div.actions.middle", null, more)],
    load: () => load({ anew: true }),
    end: () => clearTimeout(timer),
  };
}
