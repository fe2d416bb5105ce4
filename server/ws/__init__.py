"""The WebSocket front: the wire, a session, its outbox, the streams it follows."""
