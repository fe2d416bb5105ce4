"""Where the bodies are: the JPL ephemeris DE421 through skyfield, wholly offline."""
