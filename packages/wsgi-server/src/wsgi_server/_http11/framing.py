"""What a head means: the framing of its body, the life of its connection (RFC 9112 6, 9)."""

from __future__ import annotations

import functools
from typing import Final

from .grammar import LENGTH_DIGITS, ProtocolError
from .lines import authority
from .messages import Limits, Request
from .names import DROPPED

#: How a Host begins that names none: it is empty, or only a port.
_NO_HOST: Final = ("", ":")


def complete(request: Request, limits: Limits) -> None:
    """Settles what the head of `request` means. Raises `ProtocolError`."""
    headers = request.headers
    if DROPPED in headers:
        del headers[DROPPED]
    host = headers.get("HTTP_HOST")
    if host is None:
        if request.http11:
            raise ProtocolError(400, "The Host field is missing.")
    elif host[:1] in _NO_HOST and request.target[0] == "/":
        # RFC 9112 3.2 allows an empty Host only where the target has no authority;
        # for http it always has one, with a host in it (RFC 9110 4.2.1).
        raise ProtocolError(400, "The Host field is empty.")
    if request.scheme is not None:
        # RFC 9112 3.2.2: the target's authority replaces the Host field, which must
        # still be there and well-formed.
        headers["HTTP_HOST"] = authority(request.target)
    request.content_length = None
    request.chunked = False
    request.expect_continue = False
    connection = headers.get("HTTP_CONNECTION")
    if connection is None:
        request.keep_alive = request.http11
    else:
        options = _options(connection)
        request.keep_alive = "close" not in options and (
            request.http11 or "keep-alive" in options
        )
    if not request.path and request.method == "CONNECT":
        # RFC 9110 9.3.6: behind a 2xx the client, or its proxy, takes the connection for
        # a tunnel and sends what is no request of its own.
        request.keep_alive = False
    if "HTTP_TRANSFER_ENCODING" in headers:
        _transfer_coding(request)
    elif "CONTENT_LENGTH" in headers:
        _content_length(request, limits.body)
    request.has_body = request.chunked or bool(request.content_length)
    if "HTTP_EXPECT" in headers and request.http11:
        if headers["HTTP_EXPECT"].lower() != "100-continue":
            raise ProtocolError(417, "The only expectation known is 100-continue.")
        request.expect_continue = request.has_body


def _transfer_coding(request: Request) -> None:
    headers = request.headers
    if "CONTENT_LENGTH" in headers:
        raise ProtocolError(400, "Transfer-Encoding and Content-Length together.")
    if not request.http11:
        raise ProtocolError(400, "Transfer-Encoding in HTTP/1.0.")
    coding = headers["HTTP_TRANSFER_ENCODING"].lower()
    if coding != "chunked":
        parts = [part.strip(" \t") for part in coding.split(",")]
        if "chunked" in parts or not coding or "" in parts:
            raise ProtocolError(400, "Chunked must be the only transfer coding.")
        raise ProtocolError(501, "Unknown transfer coding.")
    request.chunked = True


def _content_length(request: Request, limit: int | None) -> None:
    text = request.headers["CONTENT_LENGTH"]
    if not (text.isascii() and text.isdigit() and len(text) <= LENGTH_DIGITS):
        raise ProtocolError(400, "Malformed Content-Length.")
    length = int(text)
    if limit is not None and length > limit:
        raise ProtocolError(413, f"The request body is limited to {limit} bytes.")
    request.content_length = length


@functools.lru_cache(maxsize=64)
def _options(connection: str) -> frozenset[str]:
    """The connection options of a `Connection` field, which is nearly always the same."""
    return frozenset(part.strip(" \t").lower() for part in connection.split(","))
