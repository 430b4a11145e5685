"""What goes between bytes and the arguments and results of a controller."""

from __future__ import annotations

import codecs
import functools
import inspect
import io
import re
import socket
import sys
from collections.abc import Callable, Collection, Container
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar

import webob
import webob.exc

from wsgi_api import _json
from wsgi_api._fields.codings import CODINGS, asked_coding, decoded
from wsgi_api._i18n import Text
from wsgi_api.errors import INCOMPLETE, BodyTooLarge, InvalidContentType, MalformedBody

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# RFC 9110 8.3.1: a token, quoted or not.
_CHARSET = re.compile(r"""charset\s*=\s*"?([A-Za-z0-9][\w.:+-]*)""", re.IGNORECASE)
# By Python's names. Not all that Python decodes: some of it is no charset (zlib), some
# takes time that grows with the square of the length (idna).
_CHARSETS = frozenset(
    {
        "utf-8",
        "ascii",
        "iso8859-1",
        "iso8859-15",
        "cp1252",
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "utf-32-le",
        "utf-32-be",
    }
)

# Numbers of more digits are larger than any body.
_MANY_DIGITS = 19

_UNEXPECTED = Text("The body has to be a JSON object or array.")


class JSONRequestDeserializer:
    """Reads JSON bodies.

    ``default`` serves every action; a subclass adds a method named like an action to
    read that one differently (not like one of the methods and settings below: these are
    nobody's actions). Settings are class attributes, so that a subclass need
    not call ``__init__``; the keywords set them for one instance.

    :param content_types: media types that bodies may have, 415 for others; left out,
        the type does not matter, only its charset
    :param max_json_body_size: largest body that is read, in bytes; ``None``: any
    :param max_depth: deepest nesting of arrays and objects
    :param duplicate_keys: ``last`` (the last one counts) or ``reject``
    :param allow_nan: whether ``NaN`` and ``Infinity``, which are not JSON, are read,
        and numbers that are too large for a float (``1e400``) as infinity
    :param content_encodings: codings in which bodies may come (RFC 9110, 8.4): ``gzip``,
        ``deflate``; 415 for others. None by default. What they stand for may not be
        larger than ``max_json_body_size`` either
    :param decoder: is asked before the standard library, such as
        :func:`~wsgi_api.fast_decoder` makes one; not where ``duplicate_keys`` rejects
    :raises ValueError: there is no such coding, or there are codings but no limit

    Source: ``glance.common.wsgi.JSONRequestDeserializer``.
    """

    valid_transfer_encoding: ClassVar[frozenset[str]] = frozenset(
        {"chunked", "compress", "deflate", "gzip", "identity"}
    )
    httpverb_may_have_body: ClassVar[frozenset[str]] = frozenset(
        {"POST", "PUT", "PATCH"}
    )
    content_types: Container[str] | None = None
    max_json_body_size: int | None = 1 << 20
    max_depth: int = 100
    duplicate_keys: str = "last"
    allow_nan: bool = False
    content_encodings: Collection[str] = ()
    decoder: Callable[[str], Any] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _keep_unbound(cls, "decoder")

    def __init__(
        self,
        *,
        content_types: Container[str] | None = None,
        max_json_body_size: int | None = -1,
        max_depth: int | None = None,
        duplicate_keys: str | None = None,
        allow_nan: bool | None = None,
        content_encodings: Collection[str] | None = None,
        decoder: Callable[[str], Any] | None = None,
    ) -> None:
        if content_types is not None:
            self.content_types = content_types
        if max_json_body_size != -1:
            self.max_json_body_size = max_json_body_size
        if max_depth is not None:
            self.max_depth = max_depth
        if duplicate_keys is not None:
            self.duplicate_keys = duplicate_keys
        if allow_nan is not None:
            self.allow_nan = allow_nan
        if content_encodings is not None:
            self.content_encodings = content_encodings
        if decoder is not None:
            self.decoder = decoder
        if self.content_encodings:
            self._check_codings()

    @classmethod
    def is_valid_encoding(cls, request: webob.Request) -> bool:
        """Returns whether the transfer encoding is one that a body can come in."""
        encoding = request.environ.get("HTTP_TRANSFER_ENCODING", "")
        return encoding.lower() in cls.valid_transfer_encoding

    @classmethod
    def is_valid_method(cls, request: webob.Request) -> bool:
        """Returns whether the method is one that has a body."""
        return request.method.upper() in cls.httpverb_may_have_body

    def has_body(self, request: webob.Request) -> bool:
        """Returns whether the request comes with a body.

        Where only the transfer encoding says so, the request is told that its input
        can be read to the end.

        :raises webob.exc.HTTPLengthRequired: its input cannot: the server hands over
            the bare connection, with the chunks still in their framing
        """
        environ = request.environ
        if (
            "HTTP_TRANSFER_ENCODING" in environ
            and self.is_valid_encoding(request)
            and self.is_valid_method(request)
        ):
            if _is_bare_connection(request):
                raise webob.exc.HTTPLengthRequired()
            request.is_body_readable = True
            return True
        return "CONTENT_LENGTH" in environ and bool(_content_length(environ))

    def from_json(self, datastring: str | bytes) -> Any:
        """Returns the object or array that a JSON text stands for.

        :raises webob.exc.HTTPRequestEntityTooLarge: it is longer than allowed
        :raises webob.exc.HTTPBadRequest: it is not UTF-8, not JSON, nested too
            deeply, neither object nor array, or repeats a key where that is refused
        """
        limit = self.max_json_body_size
        if limit is not None and len(datastring) > limit:
            raise BodyTooLarge(limit)
        data = _json.loads(
            datastring,
            max_depth=self.max_depth,
            unique_keys=self.duplicate_keys == "reject",
            allow_nan=self.allow_nan,
            fast=self.decoder,
        )
        if not isinstance(data, (dict, list)):
            raise webob.exc.HTTPBadRequest(explanation=_UNEXPECTED)
        return data

    def default(self, request: webob.Request) -> dict[str, Any]:
        """Returns ``{"body": ...}``, or ``{}`` for a request without a body.

        :raises webob.exc.HTTPError: as :meth:`from_json` and :meth:`read_body`
        :raises webob.exc.HTTPUnsupportedMediaType: its media type is not among
            ``content_types``, or its charset is none that can be decoded
        """
        if not self.has_body(request):
            return {}
        content_type = request.environ.get("CONTENT_TYPE", "")
        if self.content_types is not None:
            _check_content_type(content_type, self.content_types)
        body = self.read_body(request)
        # A parameter, whose name may be written in any case.
        if "=" in content_type:
            return {"body": self.from_json(_decoded(body, content_type))}
        return {"body": self.from_json(body)}

    def read_body(self, request: webob.Request) -> bytes:
        """Returns the bytes of the body, which the request keeps for other readers.

        Decoded, where it came in one of the ``content_encodings``; the request keeps it
        as it came.

        :raises webob.exc.HTTPRequestEntityTooLarge: there are more than
            ``max_json_body_size``, also once they are decoded; not more than that is
            read or decoded to find out
        :raises webob.exc.HTTPUnsupportedMediaType: it is in another coding
        :raises webob.exc.HTTPBadRequest: there are fewer than announced, or they cannot
            be decoded
        """
        header = request.environ.get("HTTP_CONTENT_ENCODING")
        if not header:
            return self._received(request)
        coding = asked_coding(header, self.content_encodings)
        body = self._received(request)
        if coding is None:
            return body
        return decoded(body, coding, self._check_codings())

    def _check_codings(self) -> int:
        unknown = set(self.content_encodings) - set(CODINGS)
        if unknown:
            known = ", ".join(CODINGS)
            raise ValueError(f"content_encodings: {unknown} are none of {known}")
        limit = self.max_json_body_size
        if limit is None:
            raise ValueError("content_encodings need a limit: set max_json_body_size")
        return limit

    def _received(self, request: webob.Request) -> bytes:
        limit = self.max_json_body_size
        environ = request.environ
        length = _content_length(environ)
        if limit is not None and length is not None and length > limit:
            raise BodyTooLarge(limit)
        if environ.get("webob.is_body_seekable"):
            return request.body
        if length is not None:
            body = _read(environ["wsgi.input"], length)
            if len(body) < length:
                raise MalformedBody(INCOMPLETE)
        elif limit is not None:
            body = _read(request.body_file, limit + 1)
            if len(body) > limit:
                raise BodyTooLarge(limit)
            environ["CONTENT_LENGTH"] = str(len(body))
        else:
            return request.body
        # As request.body = body would do it, in a third of the time.
        environ["wsgi.input"] = io.BytesIO(body)
        environ["webob.is_body_seekable"] = True
        return body


def _keep_unbound(cls: type, setting: str) -> None:
    # A function that is a setting of a class is not a method of its instances; nor
    # may a partial be one, which is to become a descriptor (Python 3.14).
    value = inspect.getattr_static(cls, setting)
    if isinstance(value, (FunctionType, functools.partial)):
        setattr(cls, setting, staticmethod(value))


def _content_length(environ: WSGIEnvironment) -> int | None:
    value = environ.get("CONTENT_LENGTH")
    if not value:
        return None
    # Tests of services put numbers into headers, as webob lets them.
    value = str(value)
    # A server lets digits pass only, and leaves the field out or empty otherwise.
    if not value.isdecimal():
        return None
    return int(value) if len(value) < _MANY_DIGITS else sys.maxsize


def _check_content_type(header: str, allowed: Container[str]) -> None:
    media_type = header.partition(";")[0].strip().lower()
    if media_type not in allowed:
        raise InvalidContentType(media_type or None)


def _decoded(body: bytes, content_type: str) -> str | bytes:
    match = _CHARSET.search(content_type)
    if match is None:
        return body
    try:
        charset = codecs.lookup(match[1]).name
    except LookupError as exc:
        raise InvalidContentType(content_type) from exc
    if charset not in _CHARSETS:
        raise InvalidContentType(content_type)
    return _json.decode(body, charset)


def _read(source: Any, size: int) -> bytes:
    body: bytes = source.read(size)
    while len(body) < size and (more := source.read(size - len(body))):
        body += more
    return body


def _is_bare_connection(request: webob.Request) -> bool:
    # wsgiref does not decode chunks; to wait for the end of such a body is to wait
    # for the client to hang up.
    if _content_length(request.environ) is not None:
        return False
    raw = getattr(request.environ["wsgi.input"], "raw", None)
    return isinstance(raw, socket.SocketIO)


class JSONResponseSerializer:
    """Writes results as JSON.

    ``default`` serves every action; a subclass adds a method named like an action to
    write that one differently.

    :param encoder: writes in place of the standard library, such as
        :func:`~wsgi_api.fast_encoder` makes one; a class attribute, too, is called
        with nothing but the result

    Source: ``glance.common.wsgi.JSONResponseSerializer``.
    """

    encoder: Callable[[Any], bytes] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _keep_unbound(cls, "encoder")

    def __init__(self, *, encoder: Callable[[Any], bytes] | None = None) -> None:
        if encoder is not None:
            self.encoder = encoder

    def to_json(self, data: Any) -> bytes:
        """Returns ``data`` as JSON; the standard encoder writes ASCII only.

        Beside what JSON knows it takes dates (``2024-01-31T12:00:00.000000``), UUIDs,
        sets and other iterables, mappings, bytes (as UTF-8), decimals, addresses and
        objects with ``to_dict``. NaN and infinity, which JSON does not know, are written
        as ``null``.

        :raises TypeError: something in it has no JSON form
        :raises ValueError: it contains itself
        """
        return _json.dumps(data) if self.encoder is None else self.encoder(data)

    def default(self, response: webob.Response, result: Any) -> None:
        """Puts ``result`` into ``response`` as its body, and set the content type."""
        response.content_type = "application/json"
        body: bytes | str = self.to_json(result)
        # A subclass may still write text, as these methods once did.
        response.body = body.encode() if isinstance(body, str) else body
