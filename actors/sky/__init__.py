"""The sky: signs, aspects, houses, hours and phases. Pure mathematics over numbers; where the bodies are is the ephemeris'
(``server.sky``) to say."""
