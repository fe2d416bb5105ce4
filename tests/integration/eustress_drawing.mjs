// What the lake's page computes, asked from Python: `node eustress_drawing.mjs WEB` reads questions as JSON, writes the answers.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const of = (name) => import(pathToFileURL(`${process.argv[2]}/eustress/${name}.js`));
const [projection, flux, figures, { Scene }] = await Promise.all([of("projection"), of("flux"), of("figures"), of("scene")]);
const { STRIDE, cameraFor, near, orbit, pan, project, sampled, zoom } = projection;
const [WIDTH, HEIGHT] = [800, 500];

const columns = (points) => ({ count: points.length, ...Object.fromEntries(["x", "y", "z"].map((axis, at) => [axis, Float64Array.from(points, (point) => point[at])])) });

function projected(points, view, moves) {
  const held = columns(points);
  let camera = cameraFor(held, view, WIDTH / HEIGHT);
  for (const [kind, ...by] of moves) camera = { orbit: () => orbit(camera, ...by), zoom: () => zoom(camera, ...by), pan: () => pan(camera, ...by, HEIGHT) }[kind]();
  const out = new Float32Array(points.length * STRIDE);
  project(camera, WIDTH, HEIGHT, held, out);
  const places = points.map((_, slot) => [...out.subarray(slot * STRIDE, slot * STRIDE + STRIDE)]);
  return { camera, places, picked: places.map(([x, y]) => near(out, points.length, x, y, 10, 1)[0] ?? null) };
}

function scene(steps) {
  const held = new Scene();
  for (const [how, ...what] of steps) held[how](...what);
  const { tree, links, roots } = held.lines();
  const id = (slot) => held.rows[slot].id;
  return {
    ids: held.rows.map((row) => row.id), x: [...held.x.subarray(0, held.count)], flux: [...held.flux.subarray(0, held.count)],
    tree: [...tree].map(id), links: [...links].map(id), roots: roots.map(id), census: held.census(),
  };
}

function rates(looks) {
  const held = new figures.Rates();
  return looks.map(([at, changes]) => {
    held.add(at, Object.entries(changes).map(([space_name, count]) => ({ space_name, changes: count })));
    return held.total;
  });
}

const ANSWERS = {
  flux: ({ positions }) => positions.map(flux.fluxOf),
  project: ({ points, view, moves }) => projected(points, view, moves),
  sampled: ({ ids, every }) => ids.filter((id) => sampled(id, every)).length,
  scene: ({ steps }) => scene(steps),
  rates: ({ looks }) => rates(looks),
  ago: ({ times, now }) => times.map((at) => figures.ago(at, now)),
};

const questions = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(questions.map(({ ask, ...question }) => ANSWERS[ask](question))));
