"""Sessions in which somebody listens: a recipe of sound, a place in time, an end."""
