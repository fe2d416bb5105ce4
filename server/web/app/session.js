// Who is here: the client and its connection, the remembered token, the spaces that are joined (each a Room, which goes on
// listening while another view is shown). There is one, `session`.
//
// A token is remembered for this tab alone (sessionStorage), and beyond it (localStorage) only where the person asked to
// stay signed in.

import { Client } from "/static/sangha.js";
import { Room } from "./room.js";

const TOKEN = "sangha.token";
const GUEST = "sangha.guest";
const FIRST_ANSWER_MS = 15_000;

class Session extends EventTarget {
  client = null;
  me = null;
  rooms = new Map();
  invitations = [];
  goodbye = null;
  #token = null;
  #entering = new Map();
  #outside = new Client({});

  get signedIn() {
    return this.me !== null;
  }

  get guest() {
    return Boolean(this.me?.guest);
  }

  get state() {
    return this.client?.state ?? "closed";
  }

  /** Comes back with what was remembered; false where nothing was, or it counts no longer. */
  async restore() {
    const token = localStorage.getItem(TOKEN) ?? sessionStorage.getItem(TOKEN);
    const guest = sessionStorage.getItem(GUEST);
    if (!token && !guest) return false;
    try {
      if (token) await this.enter({ token, stay: localStorage.getItem(TOKEN) !== null });
      else await this.enterAsGuest(guest);
      return true;
    } catch (error) {
      if (error.code === "unauthenticated" || error.code === "forbidden") this.#forget();
      this.goodbye =
        token && error.code === "unauthenticated" ? "Your session has ended. Please sign in again." : error;
      return false;
    }
  }

  async register(fields, stay) {
    const { token } = await this.http("POST", "/api/users/register", { body: fields });
    await this.enter({ token, stay });
  }

  async signIn(email, password, stay) {
    const { token } = await this.http("POST", "/api/users/login", { body: { email, password } });
    await this.enter({ token, stay });
  }

  async enterAsGuest(guest) {
    await this.#open({ guest, remember: true });
    sessionStorage.setItem(GUEST, guest);
  }

  async enter({ token, stay }) {
    await this.#open({ token, remember: true });
    this.#token = token;
    (stay ? localStorage : sessionStorage).setItem(TOKEN, token);
    this.dispatchEvent(new Event("me"));
  }

  async #open(options) {
    const client = new Client(options);
    this.#listen(client);
    try {
      await within(client.open(), FIRST_ANSWER_MS);
    } catch (error) {
      client.close();
      throw error;
    }
    this.client = client;
    this.me = client.practitioner;
    this.goodbye = null;
    this.dispatchEvent(new Event("me"));
    this.dispatchEvent(new CustomEvent("connection", { detail: client.state }));
  }

  #listen(client) {
    client.addEventListener("state", ({ detail }) => {
      if (client !== this.client) return;
      for (const room of this.rooms.values()) room.connection(client.state);
      this.dispatchEvent(new CustomEvent("connection", { detail: client.state }));
      if (client.state === "closed") this.#ended(detail?.error ?? client.error);
    });
    client.addEventListener("bye", ({ detail }) => this.dispatchEvent(new CustomEvent("bye", { detail })));
    client.own.addEventListener("event", ({ detail }) => {
      if (detail.event === "invitation")
        this.invitations.unshift({ ...detail.body, by: detail.from?.name, at: detail.at });
      this.dispatchEvent(new CustomEvent("own", { detail }));
    });
  }

  #ended(error) {
    if (error?.code === "unauthenticated") {
      this.#leaveBehind();
      this.goodbye = "You have been signed out. Please sign in again.";
      this.dispatchEvent(new Event("me"));
    }
  }

  /** A request over HTTP, with the token where there is one. */
  http(method, path, options) {
    return (this.client ?? this.#outside).http(method, path, options);
  }

  request(type, fields, options) {
    return this.client.request(type, fields, options);
  }

  async refresh() {
    const profile = await this.http("GET", "/api/users/profile");
    this.me = { ...this.me, ...profile, name: profile.spiritual_name ?? this.me.name };
    this.dispatchEvent(new Event("me"));
  }

  /** The room of a space, joined when it was not. */
  room(idOrSlug) {
    for (const room of this.rooms.values()) if (room.is(idOrSlug)) return room;
    const entering =
      this.#entering.get(idOrSlug) ?? this.#enterRoom(idOrSlug).finally(() => this.#entering.delete(idOrSlug));
    this.#entering.set(idOrSlug, entering);
    return entering;
  }

  async #enterRoom(idOrSlug) {
    const room = await Room.join(this, idOrSlug);
    this.rooms.set(room.id, room);
    room.addEventListener("left", () => this.#closed(room));
    this.dispatchEvent(new Event("rooms"));
    return room;
  }

  async leave(room) {
    await room.leave();
    this.#closed(room);
  }

  #closed(room) {
    this.rooms.delete(room.id);
    this.dispatchEvent(new Event("rooms"));
  }

  async signOut() {
    if (this.#token) await this.http("POST", "/api/users/logout").catch(() => {});
    this.#leaveBehind();
    this.dispatchEvent(new Event("me"));
  }

  #leaveBehind() {
    const client = this.client;
    this.client = null;
    this.me = null;
    this.#token = null;
    this.rooms.clear();
    this.invitations = [];
    client?.close();
    this.#forget();
  }

  #forget() {
    for (const store of [localStorage, sessionStorage]) for (const key of [TOKEN, GUEST]) store.removeItem(key);
  }
}

function within(promise, ms) {
  const late = Object.assign(new Error("the server does not answer"), { code: "timeout", retryable: true });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

export const session = new Session();
