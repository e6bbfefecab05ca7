"""Models behind a WebSocket."""
