"""The rituals that are there from the start: their source in WAT, and what is said about each."""
