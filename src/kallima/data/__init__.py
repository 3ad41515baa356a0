"""Data: specs, sources, and the order in which examples are read."""
