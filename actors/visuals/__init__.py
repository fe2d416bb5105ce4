"""Figures and fields: what they show is exact mathematics; nothing here knows a file format but SVG, a clock or a request."""
