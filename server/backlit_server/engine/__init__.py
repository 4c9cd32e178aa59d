"""Inside a worker: sessions, and the questions they answer. The only room with state."""
