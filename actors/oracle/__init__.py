"""The oracle: rules by default, a language model where one is configured and the practitioner agreed."""
