"""JSON as the originals wrote it, and read as strictly as RFC 8259 has it."""

from __future__ import annotations

import datetime
import decimal
import io
import ipaddress
import itertools
import json
import json.encoder
import logging
import re
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from types import (
    BuiltinFunctionType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import Any

from webob.multidict import MultiDict

from wsgi_api._i18n import Text
from wsgi_api.errors import MalformedBody

LOG = logging.getLogger(__name__)

_MALFORMED = Text(
    "The body is not valid JSON: %(reason)s at line %(line)d, column %(column)d."
)
_UNREADABLE = Text("The body is not valid JSON: %(reason)s.")
_NOT_TEXT = Text("The body is not %(charset)s: byte %(position)d cannot be decoded.")
_TOO_DEEP = Text("The body is nested deeper than %(limit)d levels.")
_DUPLICATE = Text("The body has the key %(key)s more than once in one object.")
_CONSTANT = Text("The body is not valid JSON: %(constant)s is not a JSON value.")

_LARGEST = sys.float_info.max

# A string, closed or not, or a bracket outside of strings. The closing quote is
# optional, so that a match never has to be given back: linear in its input.
_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
# Over what the encoder wrote, whose strings are closed.
_STRINGS_AND_CONSTANTS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?Infinity|NaN')


def loads(
    data: str | bytes,
    *,
    max_depth: int,
    unique_keys: bool,
    allow_nan: bool,
    fast: Callable[[str], Any] | None = None,
) -> Any:
    """Returns what a JSON text stands for.

    :param fast: a decoder that is asked first, where a repeated key does not matter
    :raises MalformedBody: it cannot be read; the explanation says where
    """
    text = data if isinstance(data, str) else decode(data, "utf-8")
    # Few brackets cannot nest deeply. One object that holds at most one array, which
    # most bodies are, is found out in a third of the time that counting takes.
    if (
        text.rfind("{") > 0 or text.rfind("[") > text.find("[") or max_depth < 2
    ) and text.count("[") + text.count("{") > max_depth:
        _check_depth(text, max_depth)
    if fast is not None and not unique_keys:
        try:
            return fast(text)
        except (ValueError, RecursionError):
            # The standard one reads it after all, or says where it ends to be JSON.
            pass
        except Exception:
            # Foreign code; whatever it failed at, the body made it fail.
            LOG.exception("the decoder failed at the body of a request")
    decoder = _DECODERS[unique_keys, allow_nan]
    try:
        try:
            # What decode() comes to, for a text without whitespace around it.
            found, end = decoder.scan_once(text, 0)
        except StopIteration:
            return decoder.decode(text)
        if end == len(text) or not text[end:].strip(" \t\n\r"):
            return found
        return decoder.decode(text)
    except json.JSONDecodeError as exc:
        raise MalformedBody(
            _MALFORMED.filled(reason=Text(exc.msg), line=exc.lineno, column=exc.colno)
        ) from exc
    except ValueError as exc:
        # Such as an integer of more digits than Python converts.
        raise MalformedBody(_UNREADABLE.filled(reason=Text("number too long"))) from exc
    except RecursionError as exc:
        # Python goes less deep than the service would.
        raise MalformedBody(_TOO_DEEP.filled(limit=max_depth)) from exc


def dumps(data: Any) -> bytes:
    """Returns ``data`` as JSON, with the separators and the dates of the originals.

    NaN and infinity, which JSON does not have (RFC 8259, 6), are written as ``null``.

    :raises TypeError: something in it has no JSON form
    :raises ValueError: it contains itself, or nests too deeply
    """
    try:
        try:
            return "".join(_encode(data, 0)).encode("ascii")
        except (TypeError, ValueError):
            # NaN, an iterator, or what the second attempt fails at as well.
            text = "".join(_encode_anything(data, 0))
    except RecursionError as exc:
        raise ValueError("circular or too deeply nested") from exc
    return _STRINGS_AND_CONSTANTS.sub(_null_for_constant, text).encode("ascii")


def plain(value: Any) -> Any:
    """Returns the nearest thing that JSON knows, as the originals chose it.

    :raises TypeError: there is none
    """
    convert = _CONVERSIONS.get(type(value))
    if convert is not None:
        return convert(value)
    if hasattr(value, "to_dict"):
        return value.to_dict()
    for kind, convert in _CONVERSIONS.items():
        if isinstance(value, kind):
            return convert(value)
    module = type(value).__module__
    if module.partition(".")[0] == "netaddr":
        return str(value)
    if module == "xmlrpc.client" and hasattr(value, "timetuple"):
        return _datetime(datetime.datetime(*value.timetuple()[:6]))  # noqa: DTZ001
    if isinstance(value, _NOT_DATA):
        return str(value)
    if hasattr(value, "items"):
        return dict(value.items())
    if hasattr(value, "__iter__") and not isinstance(value, io.IOBase):
        return list(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def lasting(value: Any) -> Any:
    """Returns what :func:`plain` does, but leaves iterators alone.

    Another encoder, asked after all, would find an iterator used up.

    :raises TypeError: it is an iterator, or has no JSON form
    """
    if hasattr(value, "__next__"):
        raise TypeError("an iterator")
    return plain(value)


def decode(data: bytes, charset: str) -> str:
    """Returns the text of a body.

    :raises MalformedBody: it is not in that charset; the explanation says where
    """
    try:
        return data.decode(charset)
    except UnicodeDecodeError as exc:
        raise MalformedBody(
            _NOT_TEXT.filled(charset=charset.upper(), position=exc.start)
        ) from exc


def _check_depth(text: str, max_depth: int) -> None:
    depth = 0
    for match in _TOKENS.finditer(text):
        bracket = match[0]
        if bracket in "[{":
            depth += 1
            if depth > max_depth:
                raise MalformedBody(_TOO_DEEP.filled(limit=max_depth))
        elif bracket in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        [(key, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise MalformedBody(_DUPLICATE.filled(key=json.dumps(key)))
    return found


def _refuse_constant(constant: str) -> Any:
    raise MalformedBody(_CONSTANT.filled(constant=constant))


def _finite(number: str) -> float:
    value = float(number)
    # Infinity is nothing that could be written as JSON again.
    if -_LARGEST <= value <= _LARGEST:
        return value
    raise MalformedBody(_UNREADABLE.filled(reason=Text("number too large")))


def _null_for_constant(match: re.Match[str]) -> str:
    found = match[0]
    return found if found[0] == '"' else "null"


def _datetime(value: datetime.datetime) -> str:
    if value.year < 1000:
        # isoformat pads the year, the platform's strftime does not always.
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f")
    if value.tzinfo is not None:
        value = value.replace(tzinfo=None)
    return value.isoformat(timespec="microseconds")


# A subclass finds its entry by this order: a datetime is a date.
_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    datetime.datetime: _datetime,
    uuid.UUID: str,
    datetime.date: lambda value: value.strftime("%Y-%m-%d"),
    set: list,
    frozenset: list,
    bytes: lambda value: value.decode("utf-8"),
    decimal.Decimal: str,
    MultiDict: lambda value: value.mixed(),
    ipaddress.IPv4Address: str,
    ipaddress.IPv6Address: str,
    BaseException: repr,
}

# Named, not followed: to iterate over one would use it up, or never end.
_NOT_DATA = (
    type,
    BuiltinFunctionType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
    itertools.count,
)

# Any: the stubs leave scan_once out.
_DECODERS: dict[tuple[bool, bool], Any] = {
    (unique_keys, allow_nan): json.JSONDecoder(
        object_pairs_hook=_unique if unique_keys else None,
        parse_constant=None if allow_nan else _refuse_constant,
        parse_float=None if allow_nan else _finite,
    )
    for unique_keys in (False, True)
    for allow_nan in (False, True)
}


def _encoder(
    default: Callable[[Any], Any], *, allow_nan: bool
) -> Callable[[Any, int], Iterable[str]]:
    """Returns what json.JSONEncoder makes anew for every document, made once.

    It keeps no note of where it has been, which would have to be a new one each time;
    a circle ends in a RecursionError.
    """
    module: Any = json.encoder
    if module.c_make_encoder is None:
        encoder = json.JSONEncoder(default=default, allow_nan=allow_nan)
        return lambda data, level: encoder.iterencode(data)
    made: Callable[[Any, int], Iterable[str]] = module.c_make_encoder(
        None,
        default,
        module.encode_basestring_ascii,
        None,
        ": ",
        ", ",
        False,
        False,
        allow_nan,
    )
    return made


_encode = _encoder(lasting, allow_nan=False)
_encode_anything = _encoder(plain, allow_nan=True)
