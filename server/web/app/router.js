// The view that the address's hash names. Each change gives the document its title and moves the focus to the heading,
// so that a screen reader and the keyboard begin where the new content does.

import { h } from "./dom.js";

/** A table of `pattern → view`, where `:name` in a pattern is one part of the path. */
export class Router {
  #routes;
  #main;
  #current = null;
  #turn = 0;

  constructor(main, routes) {
    this.#main = main;
    this.#routes = Object.entries(routes).map(([pattern, view]) => ({ parts: pattern.split("/"), view }));
  }

  start() {
    addEventListener("hashchange", () => this.show());
    return this.show();
  }

  get path() {
    return location.hash.slice(1).split("?")[0] || "/";
  }

  get query() {
    return new URLSearchParams(location.hash.split("?")[1] ?? "");
  }

  go(path) {
    if (location.hash === `#${path}`) this.show();
    else location.hash = path;
  }

  /** Ends the view that is shown and shows what the address names. A view is
      `async ({ parameters, query, main }) => ({ title, end? })`; null means that it went elsewhere. */
  async show() {
    const turn = ++this.#turn;
    this.#current?.end?.();
    this.#current = null;
    const { view, parameters } = this.#found();
    const main = this.#main.cloneNode(false);
    main.append(h("p.muted.opening", { role: "status" }, "Opening…"));
    this.#main.replaceWith(main);
    this.#main = main;
    dispatchEvent(new CustomEvent("sangha:view", { detail: this.path }));
    const shown = await view({ parameters, query: this.query, main });
    if (turn !== this.#turn) {
      shown?.end?.();
      return;
    }
    if (!shown) return;
    this.#current = shown;
    document.title = shown.title === "Sangha" ? "Sangha" : `${shown.title} · Sangha`;
    scrollTo(0, 0);
    const heading = main.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    (heading ?? main).focus({ preventScroll: true });
  }

  #found() {
    const given = this.path.split("/");
    for (const { parts, view } of this.#routes) {
      if (parts.length !== given.length) continue;
      const fits = parts.every((part, index) => part.startsWith(":") || part === given[index]);
      if (!fits) continue;
      const pairs = parts.map((part, index) => [part.slice(1), decode(given[index])]);
      return { view, parameters: Object.fromEntries(pairs.filter((_, index) => parts[index].startsWith(":"))) };
    }
    return { view: this.#routes.find(({ parts }) => parts[0] === "*").view, parameters: {} };
  }
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
