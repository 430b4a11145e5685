"""What a reader of requests is told and tells: its limits, and requests."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take; sizes in bytes, None for no limit of its own."""

    request_line: int = 8190
    header_line: int | None = 16384
    headers: int = 100
    header_bytes: int = 65536
    #: A chunk's size line with its extensions.
    chunk_line: int = 1024
    trailer_bytes: int = 8192
    body: int | None = None
    #: Names with "_" collide with those with "-" in an environ.
    underscores: str = "drop"

    def __post_init__(self) -> None:
        if self.underscores not in ("drop", "refuse"):
            raise ValueError(f"underscores: {self.underscores!r} is not drop or refuse")


class Request:
    """A request head. It never changes: the same bytes may give the same object again."""

    __slots__ = (
        "chunked",
        "content_length",
        "expect_continue",
        "familiar",
        "forwarding",
        "has_body",
        "headers",
        "http11",
        "keep_alive",
        "method",
        "path",
        "query",
        "scheme",
        "target",
    )

    method: str
    #: As it was sent, latin-1 text.
    target: str
    #: Percent-decoded latin-1 text (PEP 3333); empty for asterisk- and authority-form.
    path: str
    query: str
    http11: bool
    #: By environ name (HTTP_HOST, CONTENT_TYPE), latin-1 text.
    headers: dict[str, str]
    #: Names of those that say where the request came from, or claim to.
    forwarding: Set[str]
    content_length: int | None
    chunked: bool
    has_body: bool
    keep_alive: bool
    expect_continue: bool
    #: From absolute-form, else None.
    scheme: str | None
    #: Whether this very object is given again when the same head comes again.
    familiar: bool
