"""Placeholder until the first module lands."""

__version__ = "0.1.0"
