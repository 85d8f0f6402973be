"""Messages from clients to the server: they pass an ordered mapping of stages, then one reduction."""
