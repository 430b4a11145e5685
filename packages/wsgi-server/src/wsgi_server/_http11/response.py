"""Responses to bytes: heads with their framing decided, chunks, and our own short answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from itertools import repeat
from typing import Final

from .grammar import FIELD_NAME, FIELD_VALUE, SECRET_NAME, STATUS, ResponseError
from .messages import Request

LAST_CHUNK: Final = b"0\r\n\r\n"
HEAD_END: Final = b"\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

#: OWS (RFC 9110 5.6.3); what Unicode calls white space besides is content.
BLANK: Final = " \t"

#: Heads kept within one second; more distinct ones start over, longer ones are not kept.
CACHE_SIZE: Final = 512
CACHED_HEAD: Final = 2048
CACHED_NAME: Final = 128
#: Heads that came once: of those a number is kept.
SEEN_ONCE: Final = 1024

#: PEP 3333: an application must not use hop-by-hop fields (RFC 9110 7.6.1).
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: No content, whatever the application gives (RFC 9110 15.3.5, 15.3.6, 15.4.5).
_BODILESS: Final = frozenset({"204", "205", "304"})


@dataclass(slots=True)
class Head:
    """A rendered head and what it says about the body."""

    data: bytes
    #: Whether `data` ends where a value of the request's own, and `HEAD_END`, have to follow.
    open: bool
    #: As announced; None when chunked, until close, or without a body.
    content_length: int | None
    chunked: bool
    #: False for HEAD, 204, 205 and 304.
    has_body: bool
    #: Whether the connection stays open after this response.
    keep_alive: bool


@dataclass(slots=True, eq=False)
class Declaration:
    """The status and the headers of an application, checked: they can be sent."""

    headers: tuple[tuple[str, str], ...]
    #: The three digits.
    code: str
    #: The lines of the head that need nothing but this.
    lines: str
    content_length: int | None
    #: Whether it says so itself.
    has_date: bool
    has_server: bool
    #: And the field that each response has with a value of its own.
    has_id: bool
    #: Whether it is short, and has no field that may hold a secret.
    memorable: bool
    #: Whether it is given again for the same status and headers.
    kept: bool = False


#: What an application gives to `start_response`: a status, and (name, value) tuples.
Given = tuple[str, tuple[tuple[str, str], ...]]


class Declarations(dict[Given, Declaration]):
    """Of a status and headers their declaration; looking them up checks them (PEP 3333).

    Raises `ResponseError`, and `TypeError` for what cannot be a key. What comes a second
    time is kept. `id_name` is as for `ResponseHeads`.
    """

    __slots__ = ("_id_name", "_names", "_seen")

    def __init__(self, id_name: str | None) -> None:
        super().__init__()
        self._id_name = None if id_name is None else id_name.lower()
        self._names = _Names()
        self._seen: set[int] = set()

    def __missing__(self, given: Given) -> Declaration:
        declaration = _declaration(*given, self._names, self._id_name)
        if declaration.memorable:
            mark = hash(given)
            if mark in self._seen:
                if len(self) >= CACHE_SIZE:
                    self.clear()
                declaration.kept = True
                self[given] = declaration
            else:
                if len(self._seen) >= SEEN_ONCE:
                    self._seen.clear()
                self._seen.add(mark)
        return declaration


class _Names(dict[str, tuple[str, bool]]):
    """Of a field's name, that in lower case, and whether it may hold a secret.

    Raises `ResponseError` for a name that must not be sent.
    """

    def __missing__(self, name: str) -> tuple[str, bool]:
        if type(name) is not str:
            raise ResponseError(f"header {name!r:.100}: names and values must be str")
        if FIELD_NAME.fullmatch(name) is None:
            raise ResponseError(f"header name {name!r:.100} is not a token")
        lowered = name.lower()
        if lowered in HOP_BY_HOP:
            raise ResponseError(
                f"header {name} belongs to the server, not the application"
            )
        found = lowered, SECRET_NAME.search(name) is not None
        if len(name) <= CACHED_NAME:
            if len(self) >= CACHE_SIZE:
                self.clear()
            self[name] = found
        return found


class ResponseHeads:
    """Renders response heads; the same one in the same second costs a lookup.

    A response whose application does not set the field `id_name` gets it with a value of its
    own, which whoever sends the head adds: see `Head.open`.
    """

    def __init__(
        self, server: str | None = "wsgi-server", *, id_name: str | None = None
    ) -> None:
        self._server = server
        self._id_name = id_name
        self._date = ""
        self._cache: dict[object, Head] = {}
        self.declarations: Final = Declarations(id_name)

    def set_date(self, date: bytes) -> None:
        """The `Date` from now on, an IMF-fixdate (RFC 9110 5.6.7)."""
        self._date = date.decode("ascii")
        self._cache.clear()

    def head(
        self,
        request: Request,
        declaration: Declaration,
        body_length: int | None,
        keep_alive: bool,
    ) -> Head:
        """The head of a response to `request`.

        `body_length` is the length of the whole body where the caller knows it; it becomes
        Content-Length if the application gave none. `keep_alive` is whether the connection
        may stay open.
        """
        http11, head_request = request.http11, request.method == "HEAD"
        key = (declaration, http11, head_request, keep_alive, body_length)
        head = self._cache.get(key)
        if head is None:
            head = self._render(
                declaration, http11, head_request, keep_alive, body_length
            )
            if declaration.kept:
                if len(self._cache) >= CACHE_SIZE:
                    self._cache.clear()
                self._cache[key] = head
        return head

    def _render(
        self,
        declaration: Declaration,
        http11: bool,
        head_request: bool,
        keep_alive: bool,
        body_length: int | None,
    ) -> Head:
        code = declaration.code
        text = declaration.lines
        if not declaration.has_date:
            text += f"Date: {self._date}\r\n"
        if self._server is not None and not declaration.has_server:
            text += f"Server: {self._server}\r\n"
        has_body = not head_request and code not in _BODILESS
        length = declaration.content_length
        if code == "205":
            # RFC 9110 15.3.6: no content, but a client has to be told so.
            text += "Content-Length: 0\r\n"
        elif length is None and code not in _BODILESS:
            length = body_length
            if length is not None and not (head_request and length == 0):
                # The length of what GET would have sent is unknown to HEAD (RFC 9110 8.6).
                text += f"Content-Length: {length}\r\n"
        chunked = False
        if has_body and length is None:
            if http11:
                chunked = True
                text += "Transfer-Encoding: chunked\r\n"
            else:
                keep_alive = False
        if not keep_alive:
            text += "Connection: close\r\n"
        elif not http11:
            text += "Connection: keep-alive\r\n"
        open_ = self._id_name is not None and not declaration.has_id
        text += f"{self._id_name}: " if open_ else "\r\n"
        return Head(
            text.encode("latin-1"),
            open_,
            length if has_body else None,
            chunked,
            has_body,
            keep_alive,
        )


def encode_chunk(data: bytes) -> bytes:
    """`data` as one chunk (RFC 9112 7.1); it must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunk_frame(size: int) -> tuple[bytes, bytes]:
    """What stands before and behind the data of a chunk; `size` must not be 0."""
    return b"%x\r\n" % size, b"\r\n"


def early_hints(headers: Iterable[tuple[str, str]]) -> bytes:
    """A 103 response with the Link fields of `headers` (RFC 8297); empty without any.

    Raises `ResponseError`, for the others too.
    """
    fields = map(_checked, headers, repeat(_Names()))
    links = [f"Link: {value}\r\n" for _, value, name, _ in fields if name == "link"]
    if not links:
        return b""
    return f"HTTP/1.1 103 Early Hints\r\n{''.join(links)}\r\n".encode("latin-1")


def error_response(
    status: int,
    detail: str,
    date: bytes,
    head_request: bool = False,
    *,
    more: str = "",
) -> bytes:
    """A whole short answer that ends the connection.

    503 asks the client to come back in a second. `more` is a header line of the caller's,
    without its end.
    """
    phrase = HTTPStatus(status).phrase
    body = f"{detail}\n".encode("latin-1", "replace")
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        f"Date: {date.decode('ascii')}",
        "Content-Type: text/plain; charset=iso-8859-1",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append("Retry-After: 1")
    if more:
        lines.append(more)
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if head_request else head + body


def _declaration(
    status: str,
    headers: tuple[tuple[str, str], ...],
    names: _Names,
    id_name: str | None,
) -> Declaration:
    if type(status) is not str or STATUS.fullmatch(status) is None:
        raise ResponseError(f"not a final status with a reason: {status!r:.100}")
    code = status[:3]
    announced: int | None = None
    has_date = has_server = has_id = has_secret = False
    lines = f"HTTP/1.1 {status}\r\n"
    for item in headers:
        name, value, lowered, secret = _checked(item, names)
        has_secret = has_secret or secret
        if lowered == "content-length":
            if announced is not None:
                raise ResponseError("Content-Length is given twice")
            announced = _length(value)
            if code in ("204", "205"):
                # RFC 9110 8.6: a server MUST NOT send Content-Length with 204. For 205 it
                # is ours to say.
                continue
        elif lowered == "date":
            has_date = True
        elif lowered == "server":
            has_server = True
        elif lowered == id_name:
            has_id = True
        lines += f"{name}: {value}\r\n"
    memorable = not has_secret and len(lines) <= CACHED_HEAD
    return Declaration(
        headers, code, lines, announced, has_date, has_server, has_id, memorable
    )


def _checked(item: object, names: _Names) -> tuple[str, str, str, bool]:
    """Of a field that may be sent the name, the value, and what `names` says."""
    # A str of two characters would unpack as well.
    if type(item) is not tuple or len(item) != 2:
        raise ResponseError(f"header {item!r:.100} is not a (name, value) tuple")
    name, value = item
    lowered, secret = names[name]
    if type(value) is not str:
        raise ResponseError(f"header {name:.100}: names and values must be str")
    if not (value.isascii() and value.isprintable()) and not FIELD_VALUE.fullmatch(
        value
    ):
        raise ResponseError(
            f"header {name:.100}: the value has control characters or is not latin-1 text"
        )
    return name, value.strip(BLANK), lowered, secret


def _length(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise ResponseError(f"Content-Length {value!r:.100} is not a number")
    return int(value)
