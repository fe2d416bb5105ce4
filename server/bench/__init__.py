"""Measurements, as commands: `sangha bench …`."""
