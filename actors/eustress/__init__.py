"""The Eustress bridge: a scene as an actor, every change of which is in the lake."""
