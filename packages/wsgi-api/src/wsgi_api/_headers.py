"""Header fields that several kinds of answers share."""

from __future__ import annotations

import functools

from webob.acceptparse import create_accept_header


# Bounded: the header is the client's.
@functools.lru_cache(maxsize=256)
def best_offer(accept: str | None, offers: tuple[str, ...]) -> str | None:
    """Returns the media type that an ``Accept`` header likes best (RFC 9110, 12.5.1).

    :param accept: ``None`` where there is no header; that one, and one that cannot be
        read, likes everything
    :param offers: in the order of the service's own liking
    """
    found = create_accept_header(accept).acceptable_offers(offers)
    return found[0][0] if found else None


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
