"""A request that was answered, as those see it who log and count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from wsgi_server._http11 import Request


class Answered(Protocol):
    """What a line is made of: a request and what became of it."""

    @property
    def request(self) -> Request: ...
    @property
    def environ(self) -> dict[str, Any]: ...
    @property
    def status(self) -> str | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, str]] | None: ...
    @property
    def sent(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def ttfb(self) -> float: ...
    @property
    def waited(self) -> float: ...
    @property
    def error(self) -> str: ...
    @property
    def request_id(self) -> str: ...
