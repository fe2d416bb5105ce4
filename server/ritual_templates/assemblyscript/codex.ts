// {{name}}: the Sage gains a quarter of what it lacks; from 0.7 on, a lantern is seen.      ABI: codex

// @ts-ignore: decorator
@external("codex", "log") declare function codex_log(text: ArrayBuffer, length: i32): void;
// @ts-ignore: decorator
@external("codex", "get_archetype_activation") declare function codex_get_archetype(name: ArrayBuffer, length: i32): f64;
// @ts-ignore: decorator
@external("codex", "set_archetype_activation")
declare function codex_set_archetype(name: ArrayBuffer, length: i32, strength: f64): void;
// @ts-ignore: decorator
@external("codex", "get_energy_amplitude") declare function codex_get_energy(name: ArrayBuffer, length: i32): f64;
// @ts-ignore: decorator
@external("codex", "set_energy_amplitude")
declare function codex_set_energy(name: ArrayBuffer, length: i32, level: f64): void;
// @ts-ignore: decorator
@external("codex", "add_symbol") declare function codex_add_symbol(name: ArrayBuffer, length: i32): void;
// @ts-ignore: decorator
@external("codex", "get_random") declare function chance(): f64;

// Sangha reads UTF-8, AssemblyScript's strings are UTF-16.
function log(text: string): void {
  const utf8 = String.UTF8.encode(text);
  codex_log(utf8, utf8.byteLength);
}
function archetype(name: string): f64 {
  const utf8 = String.UTF8.encode(name);
  return codex_get_archetype(utf8, utf8.byteLength);
}
function setArchetype(name: string, strength: f64): void {
  const utf8 = String.UTF8.encode(name);
  codex_set_archetype(utf8, utf8.byteLength, strength);
}
function energy(name: string): f64 {
  const utf8 = String.UTF8.encode(name);
  return codex_get_energy(utf8, utf8.byteLength);
}
function setEnergy(name: string, level: f64): void {
  const utf8 = String.UTF8.encode(name);
  codex_set_energy(utf8, utf8.byteLength, level);
}
function addSymbol(name: string): void {
  const utf8 = String.UTF8.encode(name);
  codex_add_symbol(utf8, utf8.byteLength);
}

let sage: f64 = 0;

// 0 is success; with anything else the ritual fails, and nothing is changed.
export function execute_ritual(): i32 {
  sage = archetype("Sage");
  sage += (1 - sage) / 4;
  setArchetype("Sage", sage);
  log("the Sage comes nearer");
  if (sage >= 0.7) addSymbol("lantern");
  return 0;
}

// Optional: how strongly the ritual resonated, as a number for the result.
export function get_resonance(): f64 {
  return sage;
}
