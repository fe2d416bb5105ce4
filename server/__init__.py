"""The front: settings, boot, the gateway, HTTP and WebSocket, the command line and the Python client."""
