"""Request heads that are all there.

The ordinary head is read as one text: split once, checked once, with one lookup for the name
of each field, or for a whole line of those that nearly always say the same. What is not
plainly right is left to `RequestReader`, which reads line by line and says what is wrong. A
head that came before, byte for byte, costs a lookup.
"""

from __future__ import annotations

from typing import Final

from .framing import complete
from .grammar import HOST, IN_LINES
from .lines import decoded
from .messages import Limits, Request
from .names import KNOWN_NAMES, FieldNames

#: Whole heads that are kept, and how long they may be; more start over.
KNOWN_HEADS: Final = 256
KNOWN_HEAD: Final = 1024
#: Heads that came once: of those a number is kept.
SEEN_ONCE: Final = 1024

#: Fields by environ name of which most clients send the same again and again.
_STEADY: Final = frozenset(
    {
        "CONTENT_TYPE",
        "HTTP_ACCEPT",
        "HTTP_ACCEPT_ENCODING",
        "HTTP_ACCEPT_LANGUAGE",
        "HTTP_CACHE_CONTROL",
        "HTTP_CONNECTION",
        "HTTP_HOST",
        "HTTP_USER_AGENT",
        "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PORT",
        "HTTP_X_FORWARDED_PROTO",
    }
)
#: Methods that need no look at their letters. CONNECT has a target of its own kind.
_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
)
_VERSIONS: Final = {"HTTP/1.1": True, "HTTP/1.0": False}
_NONE: Final[frozenset[str]] = frozenset()


class RequestHeads:
    """Parses the heads that the readers of one server see, within the same limits."""

    __slots__ = ("_seen", "known", "limits", "names", "quick")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        #: Heads up to this size, the empty line included, cannot break a limit on bytes.
        self.quick = 4 + min(
            limits.request_line,
            limits.header_bytes - 4,
            limits.header_bytes if limits.header_line is None else limits.header_line,
        )
        #: Of whole heads what was made of them, as long as they may come again.
        self.known: dict[bytes, Request] = {}
        self.names = FieldNames(limits.underscores)
        self._seen: set[int] = set()

    def parse(self, head: bytes) -> Request | None:
        """The request of a head with its empty line, of no more than `quick` bytes.

        None where it has to be read line by line. Raises `ProtocolError`.
        """
        lines = head.decode("latin-1").split("\r\n")
        # A stray CR or LF, a tab, or another control character.
        if len(head.translate(None, IN_LINES)) != 2 * len(lines) - 2:
            return None
        request = _begun(lines[0])
        del lines[0], lines[-2:]
        if request is None or len(lines) > self.limits.headers:
            return None
        names = self.names
        if len(names) > KNOWN_NAMES:
            # Not emptied: who reads another head just now may hold it.
            names = self.names = FieldNames(self.limits.underscores)
        known = names.lines
        headers = request.headers = {}
        try:
            for line in lines:
                if line in known:
                    key, value = known[line]
                else:
                    name, colon, value = line.partition(": ")
                    key = names[name]
                    if not colon or value.strip(" ") is not value:
                        return None
                    if key in _STEADY:
                        if key == "HTTP_HOST" and HOST.fullmatch(value) is None:
                            return None
                        names.keep(line, key, value)
                headers[key] = value
        except KeyError:
            return None
        if len(headers) != len(lines):
            return None
        if names.forwarding:
            request.forwarding = names.forwarding & headers.keys()
        else:
            request.forwarding = _NONE
        request.familiar = (
            len(head) <= KNOWN_HEAD
            and self._came_before(head)
            and not request.query
            and names.secrets.isdisjoint(headers)
        )
        complete(request, self.limits)
        if request.familiar:
            if len(self.known) >= KNOWN_HEADS:
                self.known.clear()
            self.known[head] = request
        return request

    def _came_before(self, head: bytes) -> bool:
        """Whether it probably did; for the next time it did."""
        mark = hash(head)
        if mark in self._seen:
            return True
        if len(self._seen) >= SEEN_ONCE:
            self._seen.clear()
        self._seen.add(mark)
        return False


def _begun(line: str) -> Request | None:
    """A request as far as a plain first line tells."""
    parts = line.split(" ")
    if len(parts) != 3:
        return None
    method, target, version = parts
    if (
        method not in _METHODS
        or version not in _VERSIONS
        or not target.startswith("/")
        or "#" in target
        or not target.isascii()
    ):
        return None
    request = Request()
    request.method = method
    request.target = target
    request.http11 = _VERSIONS[version]
    request.path, _, request.query = target.partition("?")
    request.scheme = None
    if "%" in request.path:
        request.path = decoded(request.path)
    return request
