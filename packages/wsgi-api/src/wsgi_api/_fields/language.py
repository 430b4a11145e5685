"""Which of the languages on offer a client reads best: RFC 4647, section 3.4."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

# RFC 9110 12.5.4 with the language-range of RFC 4647 2.1. The weight is bounded to
# its three digits; whatever does not match is left out, not an error: the header is
# a wish, and a client without a readable one is answered in the default language.
_RANGE = re.compile(
    r"(?P<tag>\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)"
    r"(?:[ \t]*;[ \t]*[qQ]=(?P<q>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)
_LONGEST_HEADER = 4096
_LONGEST_REMEMBERED = 128


def parse_accept_language(header: str) -> list[str]:
    """Returns the language ranges of a header, the most wanted first.

    Ranges with a weight of zero and malformed ones are left out; ``*`` too, because
    the lookup of RFC 4647 has no use for it.
    """
    weighted: list[tuple[float, str]] = []
    if len(header) > _LONGEST_HEADER:
        header = header[:_LONGEST_HEADER].rpartition(",")[0]
    for item in header.split(","):
        match = _RANGE.fullmatch(item.strip(" \t"))
        if match is None:
            continue
        quality = float(match["q"] or 1)
        if quality > 0 and match["tag"] != "*":
            weighted.append((-quality, match["tag"]))
    # The sort is stable: equal weights keep the order of the header.
    return [tag for _, tag in sorted(weighted, key=lambda pair: pair[0])]


def lookup(wanted: Sequence[str], offered: Iterable[str]) -> str | None:
    """Returns the offer that suits best, or ``None``.

    Each range is tried as it is, then shortened from its end. ``pt-PT`` finds
    ``pt_PT``, else ``pt``; a range of only a language (``pt``) also finds the first
    regional offer (``pt_BR``), and a script between language and region does not
    hide the region (``zh-Hans-CN`` finds ``zh_CN``).
    """
    by_tag: dict[str, str] = {}
    regional: dict[str, str] = {}
    for offer in offered:
        tag = offer.replace("_", "-").lower()
        by_tag.setdefault(tag, offer)
        regional.setdefault(tag.partition("-")[0], offer)
    if "en-us" in by_tag:
        # Messages are written in it; whoever asks for any English is served.
        by_tag.setdefault("en", by_tag["en-us"])
    for range_ in wanted:
        found = _lookup_one(range_.lower().split("-"), by_tag)
        if found is None and "-" not in range_:
            found = regional.get(range_.lower())
        if found is not None:
            return found
    return None


def negotiate(header: str, offered: tuple[str, ...]) -> str | None:
    """Returns the offer that suits a header best, or ``None``."""
    # Browsers send one of a few short headers; only those are worth remembering.
    if len(header) <= _LONGEST_REMEMBERED:
        return _remembered(header, offered)
    return lookup(parse_accept_language(header), offered)


@functools.lru_cache(maxsize=256)
def _remembered(header: str, offered: tuple[str, ...]) -> str | None:
    return lookup(parse_accept_language(header), offered)


def _lookup_one(subtags: list[str], by_tag: dict[str, str]) -> str | None:
    if len(subtags) > 2 and len(subtags[1]) == 4:
        without_script = "-".join([subtags[0], *subtags[2:]])
        if without_script in by_tag:
            return by_tag[without_script]
    while subtags:
        found = by_tag.get("-".join(subtags))
        if found is not None:
            return found
        subtags.pop()
        # RFC 4647 3.4: a single letter introduces what was just removed.
        if subtags and len(subtags[-1]) == 1:
            subtags.pop()
    return None
