"""What the operating system gives, and the standard library as nobody has patched it."""
