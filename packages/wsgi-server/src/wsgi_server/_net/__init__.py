"""Listening sockets and TLS contexts."""
