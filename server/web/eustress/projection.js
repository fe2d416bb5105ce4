/**
 * Where the points of a scene stand on the screen. Pure: numbers in, numbers out.
 *
 * The engine's y points up. "plan" looks down on x and z without perspective; "space" goes round the target at a distance, with one.
 */

/**
 * @typedef {"plan" | "space"} View
 * @typedef {object} Camera
 * @property {View} view
 * @property {[number, number, number]} target What is in the middle, in the engine's units.
 * @property {number} yaw Radians round the upright axis.
 * @property {number} pitch Radians above the ground.
 * @property {number} distance From the target, in the engine's units.
 * @property {number} radius Of what is looked at: how far points fade.
 *
 * @typedef {object} Points The first `count` of each.
 * @property {number} count
 * @property {Float64Array} x
 * @property {Float64Array} y
 * @property {Float64Array} z
 */

/** Numbers a point has on the screen: x and y in pixels (NaN: behind the camera), pixels a unit, 0 (near) to 1 (far). */
export const STRIDE = 4;
const FIELD = Math.tan((40 / 2) * (Math.PI / 180));
/** Of the picture that a scene fills at first. */
const MARGIN = 0.9;
const STEEPEST = Math.PI / 2 - 0.01;
/** What lies so much farther out than 98 of 100 points is no part of the first look. */
const OUTLIER = 4;
const SAMPLE = 2000;

/** @typedef {{low: number[], high: number[], target: [number, number, number], radius: number}} Bounds */

/** Where a scene is, its middle, and how far it reaches from there. @param {Points} points @returns {Bounds} */
export function boundsOf({ count, x, y, z }) {
  if (!count) return { low: [-1, -1, -1], high: [1, 1, 1], target: [0, 0, 0], radius: 1 };
  const reaches = [x, y, z].map((values) => reach(values, count));
  const [cx, cy, cz] = reaches.map(([least, most]) => least / 2 + most / 2);
  const [width, height, depth] = reaches.map(([least, most]) => most - least);
  const radius = Math.max(1e-3, Math.hypot(width, height, depth) / 2);
  return { low: reaches.map(([least]) => least), high: reaches.map(([, most]) => most), target: [cx, cy, cz], radius };
}

/** Least and greatest, but for outliers. @param {Float64Array} values @param {number} count @returns {[number, number]} */
function reach(values, count) {
  let [least, most] = [Infinity, -Infinity];
  for (let at = 0; at < count; at += 1) {
    if (values[at] < least) least = values[at];
    if (values[at] > most) most = values[at];
  }
  if (count < 20) return [least, most];
  const step = Math.max(1, Math.floor(count / SAMPLE));
  const some = values.subarray(0, count).filter((_, at) => at % step === 0).sort();
  const [low, high] = [some[Math.floor(some.length * 0.01)], some[Math.floor(some.length * 0.99)]];
  const wide = Math.max(high - low, 1e-6) * OUTLIER;
  return [Math.max(least, low - wide), Math.min(most, high + wide)];
}

/**
 * A camera that has all of a scene in view, in the middle, but for outliers.
 * @param {Points} points @param {View} view @param {number} aspect Width by height of the picture. @returns {Camera}
 */
export function cameraFor(points, view, aspect) {
  const bounds = boundsOf(points);
  const { target, radius } = bounds;
  /** @type {Camera} */
  let camera = { view, target, radius, yaw: view === "plan" ? 0 : -0.6, pitch: 0.48, distance: radius };
  for (let look = 0; look < 3; look += 1) { // what is near leans out of the middle: centre it, and look again
    const { distance, right, above } = fitted(camera, points, bounds, aspect);
    camera = pan({ ...camera, distance }, -right, above, 2 * FIELD * distance);
  }
  return { ...camera, distance: fitted(camera, points, bounds, aspect).distance };
}

/**
 * From how far all points are in view, and how far from the middle the picture of them is then, in units at the target.
 * @param {Camera} camera @param {Points} points @param {Bounds} bounds @param {number} aspect
 */
function fitted(camera, { count, x, y, z }, { low, high }, aspect) {
  const turned = turn(camera);
  const room = FIELD * MARGIN;
  /** @type {[number, number, number][]} */
  const places = [];
  let distance = camera.radius / 2;
  for (let at = 0; at < count; at += 1) {
    if (x[at] < low[0] || x[at] > high[0] || y[at] < low[1] || y[at] > high[1] || z[at] < low[2] || z[at] > high[2]) continue;
    const place = turned(x[at], y[at], z[at]);
    places.push(place);
    distance = Math.max(distance, place[2] + Math.abs(place[0]) / (aspect * room), place[2] + Math.abs(place[1]) / room);
  }
  const middle = (/** @type {0 | 1} */ axis) => {
    let [least, most] = [Infinity, -Infinity];
    for (const place of places) {
      const seen = place[axis] / (distance - place[2]);
      [least, most] = [Math.min(least, seen), Math.max(most, seen)];
    }
    return places.length ? ((least + most) / 2) * distance : 0;
  };
  return { distance, right: middle(0), above: middle(1) };
}

/**
 * From the engine's places to the camera's: right, above, towards the viewer, in units from the target.
 * @param {Camera} camera @returns {(x: number, y: number, z: number) => [number, number, number]}
 */
function turn({ view, target: [cx, cy, cz], yaw, pitch }) {
  const [sin, cos] = [Math.sin(yaw), Math.cos(yaw)];
  const plan = view === "plan";
  const [up, flat] = plan ? [1, 0] : [Math.sin(pitch), Math.cos(pitch)];
  return (x, y, z) => {
    const [dx, dy, dz] = [x - cx, y - cy, z - cz];
    const front = dx * sin + dz * cos; // on the ground
    return [dx * cos - dz * sin, dy * flat - front * up, plan ? 0 : dy * up + front * flat];
  };
}

/** Goes round the target. @param {Camera} camera @param {number} yaw @param {number} pitch @returns {Camera} */
export function orbit(camera, yaw, pitch) {
  const steep = Math.min(STEEPEST, Math.max(-STEEPEST, camera.pitch + pitch));
  return { ...camera, yaw: (camera.yaw + yaw) % (2 * Math.PI), pitch: steep };
}

/** Comes nearer by a factor below 1. @param {Camera} camera @param {number} factor @returns {Camera} */
export function zoom(camera, factor) {
  const distance = Math.min(camera.radius * 200, Math.max(camera.radius / 2000, camera.distance * factor));
  return { ...camera, distance };
}

/**
 * Moves the target so that the picture moves by so many pixels.
 * @param {Camera} camera @param {number} right @param {number} down @param {number} height Of the picture. @returns {Camera}
 */
export function pan(camera, right, down, height) {
  const unit = camera.distance / focal(height);
  const [dx, dy] = [right * unit, down * unit];
  const [sin, cos] = [Math.sin(camera.yaw), Math.cos(camera.yaw)];
  const [x, y, z] = camera.target;
  if (camera.view === "plan") return { ...camera, target: [x - dx * cos - dy * sin, y, z + dx * sin - dy * cos] };
  const tilt = dy * Math.sin(camera.pitch);
  return { ...camera, target: [x - dx * cos - tilt * sin, y + dy * Math.cos(camera.pitch), z + dx * sin - tilt * cos] };
}

/** Pixels that a unit has at a distance of 1. @param {number} height */
export const focal = (height) => height / 2 / FIELD;

/**
 * Where the points are on a picture of that size; `out` has room for `STRIDE` numbers each.
 * @param {Camera} camera @param {number} width @param {number} height @param {Points} points @param {Float32Array} out
 */
export function project(camera, width, height, { count, x, y, z }, out) {
  const [sin, cos] = [Math.sin(camera.yaw), Math.cos(camera.yaw)];
  const plan = camera.view === "plan";
  const [up, flat] = plan ? [1, 0] : [Math.sin(camera.pitch), Math.cos(camera.pitch)];
  const { distance, radius } = camera;
  const [cx, cy, cz] = camera.target;
  const [length, midX, midY, nearest] = [focal(height), width / 2, height / 2, distance / 100];
  for (let at = 0, to = 0; at < count; at += 1, to += STRIDE) { // `turn` written out: twenty thousand times a frame
    const [dx, dy, dz] = [x[at] - cx, y[at] - cy, z[at] - cz];
    const front = dx * sin + dz * cos;
    const towards = dy * up + front * flat;
    const away = plan ? distance : distance - towards;
    const scale = away < nearest ? NaN : length / away;
    out[to] = midX + (dx * cos - dz * sin) * scale;
    out[to + 1] = midY + (front * up - dy * flat) * scale;
    out[to + 2] = scale;
    out[to + 3] = Math.min(1, Math.max(0, 0.5 - towards / (2 * radius)));
  }
}

/**
 * The points nearest to a place on the screen, nearest first.
 * @param {Float32Array} out What `project` wrote. @param {number} count @param {number} px @param {number} py
 * @param {number} within Pixels. @param {number} most @returns {number[]}
 */
export function near(out, count, px, py, within, most) {
  /** @type {{slot: number, far: number}[]} */
  const found = [];
  for (let slot = 0, at = 0; slot < count; slot += 1, at += STRIDE) {
    const [dx, dy] = [out[at] - px, out[at + 1] - py];
    if (!(Math.abs(dx) <= within && Math.abs(dy) <= within)) continue; // NaN too
    const far = Math.hypot(dx, dy);
    if (far <= within) found.push({ slot, far: far + out[at + 3] * 4 }); // of two on one another the one before
  }
  return found.sort((one, other) => one.far - other.far).slice(0, most).map(({ slot }) => slot);
}

/** How big a usual point is drawn among so many: its radius in pixels. @param {number} count */
export const usualRadius = (count) => Math.min(7, Math.max(1.7, 84 / Math.sqrt(count + 1)));

/** The one size of a scale of three axes. @param {number[] | undefined} scale */
export function sizeOf(scale) {
  const size = Math.cbrt(Math.abs((scale?.[0] ?? 1) * (scale?.[1] ?? 1) * (scale?.[2] ?? 1)));
  return Number.isFinite(size) ? size : 1;
}

/** How much bigger than a usual point one of that size is drawn: half to three times. @param {number} size @param {number} usual */
export const relative = (size, usual) => Math.min(3, Math.max(0.5, Math.sqrt(size / (usual || 1))));

/** One in how many of `total` is a sample of at most `most`, although samples by a hash are a little uneven. @param {number} total @param {number} most */
export const everyNth = (total, most) => (total <= most ? 1 : Math.ceil(total / (most * 0.95)));

/** Whether an id is one of the sample of every k-th: FNV-1a of its UTF-16. @param {string} id @param {number} every */
export function sampled(id, every) {
  if (every <= 1) return true;
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at += 1) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % every === 0;
}
