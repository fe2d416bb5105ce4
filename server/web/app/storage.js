// What the browser keeps for the page: for this tab, or on this device. Where that is forbidden or full nothing is
// kept, and the page works all the same.

/** @param {"sessionStorage" | "localStorage"} which */
function store(which) {
  /** @param {(store: Storage) => any} work @returns {string | null} */
  const attempt = (work) => {
    try {
      return work(globalThis[which]) ?? null;
    } catch {
      return null;
    }
  };
  return {
    /** @param {string} key */
    get: (key) => attempt((kept) => kept.getItem(key)),
    /** @param {string} key @param {string} value */
    set: (key, value) => attempt((kept) => kept.setItem(key, value)),
    /** @param {string} key */
    remove: (key) => attempt((kept) => kept.removeItem(key)),
  };
}

export const tab = store("sessionStorage");
export const device = store("localStorage");
