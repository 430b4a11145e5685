"""PEP 3333: one request, its environ, its input, its response."""
