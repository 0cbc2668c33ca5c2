"""Monitor: the engine that runs checks, decides states, saves all of it, and tells people."""
