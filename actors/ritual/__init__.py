"""Rituals: the catalog entity, the module ABIs, the sandbox that runs them, the built-in ones."""
