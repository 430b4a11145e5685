"""How soon and for how long a worker is tried that does not live, or not up to its task."""
