"""Header fields that several kinds of answers share."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Any

from webob.acceptparse import create_accept_header

_NO_PARAMETER = re.compile(r"[ \t]*;[ \t]*(?=[;,]|$)")


# Bounded: the header is the client's.
@functools.lru_cache(maxsize=256)
def best_offer(accept: str | None, offers: tuple[str, ...]) -> str | None:
    """Returns the media type that an ``Accept`` header likes best (RFC 9110, 12.5.1).

    Where no offer has parameters, such as a ``charset``, those of a media range do not
    keep it from an offer, unless the header names the type without them as well.

    :param accept: ``None`` where there is no header; that one, and one that cannot be
        read, likes everything
    :param offers: in the order of the service's own liking
    """
    if accept is not None:
        # RFC 9110 5.6.6: a parameter may be missing after its semicolon.
        accept = _NO_PARAMETER.sub("", accept)
    header = create_accept_header(accept)
    if not any(";" in offer for offer in offers):
        for media_type, weight in _without_parameters(header.parsed or ()).items():
            header += {media_type: weight}
    found = header.acceptable_offers(offers)
    return found[0][0] if found else None


def _without_parameters(
    ranges: Iterable[tuple[str, float, Any, Any]],
) -> dict[str, float]:
    """Returns the types that are asked for with parameters only, and their weights."""
    weights: dict[str, float] = {}
    plain = set()
    for media_range, weight, parameters, _ in ranges:
        media_type = media_range.partition(";")[0].strip().lower()
        if not parameters:
            plain.add(media_type)
        elif weight:
            weights[media_type] = max(weight, weights.get(media_type, 0))
    return {each: weights[each] for each in weights.keys() - plain}


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
