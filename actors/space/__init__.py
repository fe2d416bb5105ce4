"""The collective space: membership, messages, presence, coherence. Pure."""
