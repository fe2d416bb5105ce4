"""How an entity lives inside a Ray actor. Knows no domain."""
