"""Sound: what sounds is a pure function of a recipe and a position; devices are actors that play it."""
