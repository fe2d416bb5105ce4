/**
 * The flux position of a place, as `droot-v1` has it, and what is said and shown of each. Pure.
 */

/** 3, 6 and 9. @param {number} flux */
export const isSacred = (flux) => flux > 0 && flux % 3 === 0;

/** What is told apart by form too: 3 a triangle, 6 a hexagon, 9 a ring. Others are dots. @type {Record<number, string>} */
export const FORMS = { 3: "triangle", 6: "hexagon", 9: "ring" };

/** In the order of the vortex, then the sacred ones. */
export const POSITIONS = [1, 2, 4, 8, 7, 5, 3, 6, 9];

const EXACT = 2 ** 53;

/** 1 to 9: the digital root of the coordinates' millimetres; the origin is 9. @param {number[]} position */
export function fluxOf(position) {
  const root = position.reduce((sum, value) => sum + millimetres(value), 0) % 9;
  return root || 9;
}

/** A coordinate's millimetres, half to even, modulo 9. @param {number} value */
function millimetres(value) {
  const scaled = Math.abs(value) * 1000;
  if (scaled >= EXACT) return Number(BigInt(scaled) % 9n);
  const floor = Math.floor(scaled);
  const half = scaled - floor === 0.5;
  return (half ? floor + (floor % 2) : Math.round(scaled)) % 9;
}

/** @param {number} flux */
export const fluxWords = (flux) => (isSacred(flux) ? `flux ${flux}, sacred` : `flux ${flux}`);
