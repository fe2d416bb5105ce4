/**
 * Sangha's client for browsers and Node ≥ 20, without dependencies:
 *
 *     import { Client } from "https://your.server/static/sangha.js";
 *
 *     const client = await new Client({ guest: "Ana" }).open();
 *     const space = await client.join("morning");
 *     space.addEventListener("event", ({ detail }) => console.log(detail.offset, detail.body));
 *     await space.send({ text: "good morning" });
 *
 * @module
 */

export { Sound } from "./client/audio.js";
export { Player } from "./client/audio_player.js";
export { Client } from "./client/connection.js";
export { SanghaError } from "./client/errors.js";
export { ask as askHttp, httpUrl, wsUrl } from "./client/http.js";
export { Scene } from "./client/scene.js";
export { Space } from "./client/space.js";
