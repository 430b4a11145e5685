"""What each worker is doing, in memory that all processes share."""
