// Who is here: the client and its connection, the remembered token, the spaces that are joined (each a Room, which goes on
// listening while another view is shown). There is one, `session`.
//
// A token is remembered for this tab alone, and on this device only where the person asked to stay signed in. The tab's
// own comes first: a device may be shared, and a reload never makes somebody else of whoever is here.

import { Client } from "/static/sangha.js";
import { Room } from "./room.js";
import { device, tab } from "./storage.js";

const TOKEN = "sangha.token";
const GUEST = "sangha.guest";
const FIRST_ANSWER_MS = 15_000;
/** Whoever goes while the server is away is gone here all the same. */
const LOGOUT_MS = 3000;
const INVITATIONS_MOST = 20;

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
    const guest = tab.get(GUEST);
    const token = tab.get(TOKEN) ?? (guest ? null : device.get(TOKEN));
    if (!token && !guest) return false;
    try {
      if (token) await this.enter({ token, stay: false });
      else await this.enterAsGuest(guest);
      return true;
    } catch (error) {
      if (error.code === "unauthenticated" || error.code === "forbidden") this.#forget(token);
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
    tab.set(GUEST, guest);
  }

  async enter({ token, stay }) {
    await this.#open({ token, remember: true });
    this.#token = token;
    tab.set(TOKEN, token);
    if (stay) device.set(TOKEN, token);
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
    this.dispatchEvent(new Event("connection"));
  }

  #listen(client) {
    client.addEventListener("state", ({ detail }) => {
      if (client !== this.client) return;
      for (const room of this.rooms.values()) room.connection(client.state);
      this.dispatchEvent(new Event("connection"));
      if (client.state === "closed") this.#ended(detail?.error ?? client.error);
    });
    client.addEventListener("practitioner", ({ detail }) => client === this.client && this.#became(detail));
    client.addEventListener("bye", () => this.dispatchEvent(new Event("bye")));
    client.own.addEventListener("event", ({ detail }) => {
      if (detail.event === "invitation") this.#invited({ ...detail.body, by: detail.from?.name, at: detail.at });
      this.dispatchEvent(new CustomEvent("own", { detail }));
    });
  }

  #ended(error) {
    if (error?.code === "unauthenticated") this.part("You have been signed out. Please sign in again.");
  }

  /** The server calls us otherwise now: renamed, or a guest whose session is over and who is somebody new to it. */
  #became(practitioner) {
    this.me = { ...(practitioner.id === this.me.id ? this.me : {}), ...practitioner };
    this.dispatchEvent(new Event("me"));
  }

  #invited(invitation) {
    const others = this.invitations.filter(({ space }) => space !== invitation.space);
    this.invitations = [invitation, ...others].slice(0, INVITATIONS_MOST);
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
    this.invitations = this.invitations.filter((each) => each.space !== room.id);
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
    if (this.#token) await this.http("POST", "/api/users/logout", { timeoutMs: LOGOUT_MS }).catch(() => {});
    this.part(null);
  }

  /** Nobody is here any more; `goodbye` is told at the door. */
  part(goodbye) {
    const client = this.client;
    this.client = null;
    this.me = null;
    this.rooms.clear();
    this.invitations = [];
    client?.close();
    this.#forget(this.#token);
    this.#token = null;
    this.goodbye = goodbye;
    this.dispatchEvent(new Event("me"));
  }

  #forget(token) {
    for (const key of [TOKEN, GUEST]) tab.remove(key);
    if (device.get(TOKEN) === token) device.remove(TOKEN);
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
