"""Sangha's actors: the runtime they live in, and one package a kind of entity."""
