// Phases of breaths and pulses: the mean of several, and how one moves on between two tellings. Pure.

const TURN = 2 * Math.PI;

/** (r, ψ) of phases: r·e^{iψ} is the mean of e^{iθ}; (0, 0) of none. */
export function meanOf(phases) {
  const x = phases.reduce((sum, phase) => sum + Math.cos(phase), 0);
  const y = phases.reduce((sum, phase) => sum + Math.sin(phase), 0);
  return phases.length ? [Math.hypot(x, y) / phases.length, Math.atan2(y, x)] : [0, 0];
}

/** `{phase, at, speed}` of a phase in radians told at a time in seconds: its speed is known from the telling before, from
    standing still to a turn a second. */
export function turned(before, phase, now) {
  const at = ((phase % TURN) + TURN) % TURN;
  if (!before) return { phase: at, at: now, speed: 0 };
  if (at === before.phase) return before;
  const moved = (at - before.phase + TURN) % TURN;
  const speed = Math.min(moved / Math.max(now - before.at, 0.1), TURN);
  return { phase: at, at: now, speed: before.speed ? 0.6 * before.speed + 0.4 * speed : speed };
}
