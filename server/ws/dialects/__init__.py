"""The seeds' own WebSocket clients: pure translators, a module each. ``server.ws.dialect_socket`` is the shell around them."""
