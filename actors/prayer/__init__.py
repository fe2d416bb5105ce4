"""A practitioner's prayer wheel: rotations, mantras in malas of 108, a wheel that spins by itself, dedication of merit."""
