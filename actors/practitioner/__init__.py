"""The practitioner: account, archetypal state, privacy, sign-in sessions. Pure."""
