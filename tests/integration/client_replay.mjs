// Tells the JavaScript client's state machine what the Python one was told, and compares what it says: client_recording.py.
// Arguments: the module to test, the file of a recording {credentials, options, nodes}.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , module, file] = process.argv;
const { ClientState } = await import(pathToFileURL(module));
const { credentials, options, nodes } = JSON.parse(readFileSync(file, "utf8"));

const NOT_IN_PYTHON = new Set(["welcomed", "bye"]);

function plain({ kind, frame, why, error, event, ...rest }) {
  if (kind === "send") return { kind, frame: JSON.parse(frame) };
  if (kind === "delivered") {
    const body = event.event === "snapshot" ? event.state : (event.body ?? null);
    return { kind, stream: event.stream, event: event.event, offset: event.offset ?? null, body };
  }
  return error === undefined ? { kind, ...rest } : { kind, ...rest, error: error.code };
}

const STEPS = {
  submit: (core, type, fields, now, lossy, handle) => assert.equal(core.submit(type, fields, now, { lossy }), handle),
  forget: (core, handle, now) => core.forget(handle, now),
  connected: (core, now) => core.connected(now),
  received: (core, frame, now) => core.received(frame, now),
  lost: (core, now, code) => core.lost(now, code ?? undefined),
  wake: (core, now) => core.wake(now),
  take: (core, outputs, stands) => {
    assert.deepEqual(core.take().filter(({ kind }) => !NOT_IN_PYTHON.has(kind)).map(plain), outputs);
    const { phase, reconnectAt, requests } = core;
    const offsets = Object.fromEntries(core.offsets);
    assert.deepEqual({ phase, nextWake: core.nextWake(), reconnectAt, offsets, asked: requests.asked }, stands);
  },
};

const leaves = new Set(nodes.keys());
for (const [parent] of nodes) leaves.delete(parent);
let replayed = 0;
for (const leaf of leaves) {
  const path = [];
  for (let at = leaf; at >= 0; at = nodes[at][0]) path.push(...nodes[at][1].toReversed());
  const core = new ClientState(credentials, { jitter: () => 0.5, ...options });
  const done = [];
  for (const [what, ...args] of path.reverse()) {
    done.push([what, ...args]);
    try {
      STEPS[what](core, ...args);
    } catch (failure) {
      console.error(done.map((step) => JSON.stringify(step)).join("\n"));
      throw failure;
    }
  }
  replayed += 1;
}
console.log(JSON.stringify({ replayed }));
