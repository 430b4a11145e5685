"""Single lines of a request: what they say, or why they are refused.

Lines come again and again, so what was checked once is kept: exact lines, in bounded
dictionaries, and never one that may hold a secret.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from .grammar import (
    ABSOLUTE,
    BAD_ESCAPE,
    FIELD,
    HOST,
    REQUEST_LINE,
    SECRET,
    ProtocolError,
)

#: Lines of each kind that are kept; more start over. Longer ones are not kept.
CACHE_SIZE: Final = 2048
CACHED_LINE: Final = 256

#: Method, target, path, query, whether it is HTTP/1.1, and the scheme of absolute-form.
RequestLine = tuple[str, str, str, str, bool, str | None]

#: Of exact bytes, what `parse_request_line` and `parse_field` made of them.
known_request_lines: dict[bytes, RequestLine] = {}
known_fields: dict[bytes, tuple[str, str]] = {}
#: Of a field's name, its environ name, whether lines with it may be kept, and whether every
#: value that the grammar allows will do.
known_names: dict[bytes, tuple[str, bool, bool]] = {}

#: The name under which a field goes that the application must not see: one with "_" in its
#: name, or Proxy, which would become HTTP_PROXY. No environ name is like it.
DROPPED: Final = " dropped"

#: The bytes that a field's value is made of (RFC 9110 5.5), all of which `FIELD` takes.
_IN_VALUES: Final = bytes([9, *range(32, 127), *range(128, 256)])
#: Fields by environ name that say how long the body is, where the request goes and what the
#: body means: two of them could be read differently by two readers.
_SINGLE: Final = frozenset(
    {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_TRANSFER_ENCODING"}
)
#: Fields that decide what follows: their lines are read anew every time.
FRAMING: Final = frozenset({"CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_EXPECT"})
#: What a trailer may not bring (RFC 9110 6.5.1): framing, routing, authentication (with
#: `SECRET`), request modifiers, response control, and the content's own description.
_NOT_IN_TRAILERS: Final = frozenset(
    {
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "HTTP_CACHE_CONTROL",
        "HTTP_CONNECTION",
        "HTTP_CONTENT_ENCODING",
        "HTTP_CONTENT_RANGE",
        "HTTP_EXPECT",
        "HTTP_FORWARDED",
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
        "HTTP_X_REAL_IP",
        DROPPED,
    }
)
_NOT_IN_TRAILERS_PREFIX: Final = "HTTP_X_FORWARDED_"


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
        if BAD_ESCAPE.search(path) is not None:
            raise ProtocolError(400, "Malformed percent-encoding in the path.")
        path = unquote_to_bytes(path).decode("latin-1")
    found = (method, target, path, query, minor == "1", scheme)
    # Queries differ from one request to the next, and some hold signatures.
    if target[0] == "/" and "?" not in target and len(line) <= CACHED_LINE:
        if len(known_request_lines) >= CACHE_SIZE:
            known_request_lines.clear()
        known_request_lines[line] = found
    return found


def parse_field(line: bytes, underscores: str) -> tuple[str, str]:
    """The environ name and the value of a field (RFC 9112 5), latin-1 text.

    The name is `DROPPED` for Proxy, and where it holds "_" and `underscores` is "drop".
    Raises `ProtocolError`.
    """
    found = _plain_field(line) or _careful_field(line, underscores)
    key, value, may_keep = found
    if may_keep and len(line) <= CACHED_LINE:
        if len(known_fields) >= CACHE_SIZE:
            known_fields.clear()
        known_fields[line] = key, value
    return key, value


def _plain_field(line: bytes) -> tuple[str, str, bool] | None:
    """As `_careful_field`, for a known name with a value that is plainly right."""
    name, colon, raw = line.partition(b":")
    known = known_names.get(name)
    if known is None or not known[2] or not colon:
        return None
    raw = raw.strip(b" \t")
    if raw.translate(None, _IN_VALUES):
        return None
    return known[0], raw.decode("latin-1"), known[1]


def _careful_field(line: bytes, underscores: str) -> tuple[str, str, bool]:
    """The environ name, the value, and whether the line may be kept."""
    match = FIELD.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "Malformed header field.")
    name, raw = match.groups(b"")
    if b"_" in name:
        if underscores == "refuse":
            raise ProtocolError(400, "Header names with _ are not accepted.")
        return DROPPED, "", False
    key, may_keep, _ = known_names.get(name) or _environ_name(name)
    value = raw.decode("latin-1")
    if key == "HTTP_HOST" and HOST.fullmatch(value) is None:
        raise ProtocolError(400, "Malformed Host field.")
    if key == "HTTP_TRANSFER_ENCODING" and line[len(name) + 1 :] not in (
        raw,
        b" " + raw,
    ):
        raise ProtocolError(400, "Odd white space around the transfer coding.")
    return key, value, may_keep


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


def may_be_trailer(line: bytes, key: str) -> bool:
    """Whether a field is harmless behind the body."""
    return not (
        key in _NOT_IN_TRAILERS
        or key.startswith(_NOT_IN_TRAILERS_PREFIX)
        or SECRET.search(line.partition(b":")[0])
    )


def authority(target: str) -> str:
    """The host and port of a target in absolute-form that was parsed before."""
    match = ABSOLUTE.fullmatch(target)
    assert match is not None  # noqa: S101  `parse_request_line` saw to that
    return match[2]


def _environ_name(name: bytes) -> tuple[str, bool, bool]:
    key = name.decode("ascii").upper().replace("-", "_")
    if key == "PROXY":
        # RFC 3875 4.1.18: whoever starts programs with this environ would hand them a proxy
        # of the client's choice.
        key = DROPPED
    elif key not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
        key = f"HTTP_{key}"
    may_keep = key not in FRAMING and SECRET.search(name) is None
    found = key, may_keep, key not in ("HTTP_HOST", "HTTP_TRANSFER_ENCODING")
    if len(name) <= CACHED_LINE:
        if len(known_names) >= CACHE_SIZE:
            known_names.clear()
        known_names[name] = found
    return found


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
