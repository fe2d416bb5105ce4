/**
 * The Prometheus exposition as numbers: parse a scrape, compare two, read quantiles out of histograms.
 *
 * Pure. A scrape is a Map from a sample's name to its series; a series is its labels and its value. Counters of a process that
 * was started anew begin at 0 again: a rate then counts from there, and is never negative.
 */

/** @typedef {{labels: Record<string, string>, value: number}} Series */
/** @typedef {Map<string, Series[]>} Scrape */

const SAMPLE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/;
const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { n: "\n", '"': '"', "\\": "\\" };

/** @param {string} text @returns {Scrape} */
export function parse(text) {
  /** @type {Scrape} */
  const scrape = new Map();
  for (const line of text.split("\n")) {
    const sample = line.startsWith("#") ? null : SAMPLE.exec(line);
    if (!sample) continue;
    const series = { labels: labelsOf(sample[2] ?? ""), value: numberOf(sample[3]) };
    const known = scrape.get(sample[1]);
    if (known) known.push(series);
    else scrape.set(sample[1], [series]);
  }
  return scrape;
}

/** @param {string} text */
function labelsOf(text) {
  /** @type {Record<string, string>} */
  const labels = {};
  for (const [, name, value] of text.matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (_, letter) => ESCAPES[/** @type {keyof ESCAPES} */ (letter)] ?? letter);
  }
  return labels;
}

/** @param {string} text */
function numberOf(text) {
  if (text.endsWith("Inf")) return text.startsWith("-") ? -Infinity : Infinity;
  return Number(text);
}

/**
 * The series of a name whose labels have these values.
 * @param {Scrape} scrape @param {string} name @param {Record<string, string>} where
 */
export function select(scrape, name, where = {}) {
  return (scrape.get(name) ?? []).filter(({ labels }) => Object.entries(where).every(([key, value]) => labels[key] === value));
}

/** The sum of a name's series. @param {Scrape} scrape @param {string} name @param {Record<string, string>} where */
export function sum(scrape, name, where = {}) {
  return select(scrape, name, where).reduce((total, { value }) => total + value, 0);
}

/**
 * How much a counter grew, over all of its series; one that is new, or began again, counts from 0.
 * @param {Scrape} before @param {Scrape} after @param {string} name @param {Record<string, string>} where
 */
export function growth(before, after, name, where = {}) {
  const known = new Map(select(before, name, where).map(({ labels, value }) => [key(labels), value]));
  return select(after, name, where).reduce((total, { labels, value }) => {
    const earlier = known.get(key(labels)) ?? 0;
    return total + (value >= earlier ? value - earlier : value);
  }, 0);
}

/** @param {Record<string, string>} labels */
function key(labels) {
  return JSON.stringify(Object.entries(labels).sort());
}

/**
 * The value below which a share of what a histogram counted between two scrapes lies, by linear interpolation in its bucket
 * (as Prometheus' histogram_quantile has it); null where nothing was counted.
 * @param {Scrape} before @param {Scrape} after @param {string} name the histogram's name, without _bucket
 * @param {number} share 0 to 1 @param {Record<string, string>} where
 */
export function quantile(before, after, name, share, where = {}) {
  const bounds = [...new Set(select(after, `${name}_bucket`, where).map(({ labels }) => labels.le))];
  const buckets = bounds
    .map((le) => ({ le: numberOf(le), count: growth(before, after, `${name}_bucket`, { ...where, le }) }))
    .sort((one, other) => one.le - other.le);
  const all = buckets.at(-1)?.count ?? 0;
  if (!all) return null;
  const rank = share * all;
  const index = buckets.findIndex(({ count }) => count >= rank);
  const { le, count } = buckets[index];
  const [low, below] = index ? [buckets[index - 1].le, buckets[index - 1].count] : [0, 0];
  if (le === Infinity) return low;
  return low + ((le - low) * (rank - below)) / (count - below || 1);
}
