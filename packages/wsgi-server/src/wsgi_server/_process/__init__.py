"""The supervisor, its workers, and the single process that has none."""
