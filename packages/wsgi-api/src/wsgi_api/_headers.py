"""Header fields that several kinds of answers share."""

from __future__ import annotations


def vary_by(headers: list[tuple[str, str]], field: str) -> None:
    """Tells caches that a field of the request chose the answer (RFC 9110, 12.5.5)."""
    known = [value for name, value in headers if name.lower() == "vary"]
    if not known:
        headers.append(("Vary", field))
        return
    names = {name.strip().lower() for value in known for name in value.split(",")}
    if not names & {"*", field.lower()}:
        headers[:] = [pair for pair in headers if pair[0].lower() != "vary"]
        headers.append(("Vary", ", ".join([*known, field])))
