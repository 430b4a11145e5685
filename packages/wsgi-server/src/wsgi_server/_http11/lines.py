"""Single lines of a request: what they say, or why they are refused."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from .grammar import (
    ABSOLUTE,
    BAD_ESCAPE,
    HOST,
    IN_VALUES,
    REQUEST_LINE,
    ProtocolError,
)
from .names import DROPPED, FieldNames, is_forwarding, is_secret

#: Method, target, path, query, whether it is HTTP/1.1, and the scheme of absolute-form.
RequestLine = tuple[str, str, str, str, bool, str | None]

#: Fields by environ name that say how long the body is, where the request goes and what the
#: body means: two of them could be read differently by two readers.
_SINGLE: Final = frozenset(
    {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_TRANSFER_ENCODING"}
)
#: What a trailer may not bring (RFC 9110 6.5.1): framing, routing, authentication (with
#: what may be a secret), request modifiers, response control, and the content's own
#: description.
_NOT_IN_TRAILERS: Final = frozenset(
    {
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "HTTP_CACHE_CONTROL",
        "HTTP_CONNECTION",
        "HTTP_CONTENT_ENCODING",
        "HTTP_CONTENT_RANGE",
        "HTTP_EXPECT",
        "HTTP_HOST",
        "HTTP_IF_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_NONE_MATCH",
        "HTTP_IF_RANGE",
        "HTTP_IF_UNMODIFIED_SINCE",
        "HTTP_KEEP_ALIVE",
        "HTTP_MAX_FORWARDS",
        "HTTP_PRAGMA",
        "HTTP_PROXY_CONNECTION",
        "HTTP_RANGE",
        "HTTP_TE",
        "HTTP_TRAILER",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_UPGRADE",
        "HTTP_VIA",
        DROPPED,
    }
)


def parse_request_line(line: bytes) -> RequestLine:
    """The parts of a request line (RFC 9112 3). Raises `ProtocolError`."""
    match = REQUEST_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "Malformed request line.")
    method, target, minor = (part.decode("ascii") for part in match.groups())
    scheme = None
    path, _, query = target.partition("?")
    if target[0] != "/":
        if method == "CONNECT":
            _check_authority_form(target)
            path = query = ""
        elif target == "*":
            if method != "OPTIONS":
                raise ProtocolError(400, "Only OPTIONS may ask for *.")
            path = query = ""
        else:
            scheme, path, query = _absolute_form(target)
    elif method == "CONNECT":
        raise ProtocolError(400, "CONNECT needs host:port.")
    if "%" in path:
        path = decoded(path)
    return method, target, path, query, minor == "1", scheme


def decoded(path: str) -> str:
    """A path without percent-encoding, latin-1 text. Raises `ProtocolError`."""
    if BAD_ESCAPE.search(path) is not None:
        raise ProtocolError(400, "Malformed percent-encoding in the path.")
    return unquote_to_bytes(path).decode("latin-1")


def parse_field(line: bytes, names: FieldNames) -> tuple[str, str]:
    """The environ name and the value of a field (RFC 9112 5), latin-1 text.

    The name is `DROPPED` for what the application must not see. Raises `ProtocolError`.
    """
    name, colon, raw = line.decode("latin-1").partition(":")
    if not colon or line.translate(None, IN_VALUES):
        raise ProtocolError(400, "Malformed header field.")
    key = names.get(name) or names.find(name)
    value = raw.strip(" \t")
    if key == "HTTP_HOST" and HOST.fullmatch(value) is None:
        raise ProtocolError(400, "Malformed Host field.")
    if key == "HTTP_TRANSFER_ENCODING" and raw not in (value, f" {value}"):
        raise ProtocolError(400, "Odd white space around the transfer coding.")
    return key, value


def add_field(fields: dict[str, str], key: str, value: str) -> None:
    """Adds a field, joined to one that is there already (RFC 9110 5.3).

    Raises `ProtocolError` for one that may come only once.
    """
    if key not in fields:
        fields[key] = value
    elif key in _SINGLE:
        name = key.removeprefix("HTTP_").replace("_", "-").title()
        raise ProtocolError(400, f"{name} is given more than once.")
    else:
        separator = "; " if key == "HTTP_COOKIE" else ","
        fields[key] = f"{fields[key]}{separator}{value}"


def may_be_trailer(key: str) -> bool:
    """Whether a field is harmless behind the body."""
    return not (key in _NOT_IN_TRAILERS or is_forwarding(key) or is_secret(key))


def authority(target: str) -> str:
    """The host and port of a target in absolute-form that was parsed before."""
    match = ABSOLUTE.fullmatch(target)
    assert match is not None  # noqa: S101  `parse_request_line` saw to that
    return match[2]


def _check_authority_form(target: str) -> None:
    host, _, port = target.rpartition(":")
    if not host or not port or HOST.fullmatch(target) is None:
        raise ProtocolError(400, "CONNECT needs host:port.")


def _absolute_form(target: str) -> tuple[str, str, str]:
    match = ABSOLUTE.fullmatch(target)
    if match is None:
        raise ProtocolError(400, "The request target has no form that HTTP knows.")
    scheme, host, path, query = match.groups("")
    if not host or HOST.fullmatch(host) is None or host[0] == ":":
        raise ProtocolError(400, "Malformed authority in the request target.")
    return scheme.lower(), path or "/", query
