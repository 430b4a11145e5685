"""Request: a webob request that speaks the dialect of OpenStack's APIs."""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Callable, Container
from typing import Any, ClassVar

import oslo_i18n
import webob
import webob.exc
from webob.byterange import ContentRange, Range

from wsgi_api import _i18n
from wsgi_api._fields.codings import asked_coding
from wsgi_api._fields.conditions import Selection, select
from wsgi_api._fields.language import negotiate
from wsgi_api._fields.ranges import MALFORMED, requested_content_range, requested_range
from wsgi_api._headers import best_offer
from wsgi_api._uwsgi import ChunkSource, chunked_input
from wsgi_api.errors import InvalidContentType

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_JSON = "application/json"

# What webob and cgi raise for forms that a client makes up: in another charset
# (DeprecationWarning), in one that is unknown (LookupError), without a boundary or with
# broken base64 (ValueError), with forms inside of forms (the other two).
_UNREADABLE = (
    DeprecationWarning,
    LookupError,
    ValueError,
    AttributeError,
    RecursionError,
)

_UWSGI: ChunkSource | None
try:
    # Exists in a process of uWSGI only, and without what find_spec asks for.
    _UWSGI = importlib.import_module("uwsgi")
except ImportError:
    _UWSGI = None

# A property that is overridden takes its setter along; these are the inherited ones.
_BODY_FILE: Any = webob.Request.body_file
_IS_BODY_READABLE: Any = webob.Request.is_body_readable


class Request(webob.Request):
    """The request that a :class:`~wsgi_api.Resource` hands to its controller.

    Takes what :class:`webob.Request` takes: an ``environ`` and any attributes to set
    as keywords.

    A service adapts it by subclassing:

    * ``i18n_domain``: the gettext domain whose languages are on offer,
    * ``invalid_content_type``: what :meth:`get_content_type` raises,
    * ``response_types``: the media types that :meth:`best_match_content_type` chooses
      from,
    * ``uwsgi``: where chunked bodies come from under uWSGI.

    Source: ``glance.common.wsgi.Request``, ``heat.common.wsgi.Request``.
    """

    i18n_domain: ClassVar[str] = _i18n.DOMAIN
    invalid_content_type: ClassVar[Callable[..., Exception]] = InvalidContentType
    response_types: ClassVar[tuple[str, ...]] = (_JSON,)
    uwsgi: ClassVar[ChunkSource | None] = _UWSGI

    def __init__(self, environ: Any, *args: Any, **kwargs: Any) -> None:
        if args or kwargs or type(environ) is not dict:
            super().__init__(environ, *args, **kwargs)
        else:
            # All that the long way comes to.
            self.__dict__["environ"] = environ

    def best_match_content_type(self) -> str:
        """Returns the media type of the response that the client likes best.

        ``application/json`` where nothing on offer suits the ``Accept`` header.
        """
        accept = self.environ.get("HTTP_ACCEPT")
        return best_offer(accept, tuple(self.response_types)) or _JSON

    def get_content_type(self, allowed_content_types: Container[str]) -> str:
        """Returns the media type of the body, without its parameters.

        :param allowed_content_types: those that the caller can read, in lower case
        :raises InvalidContentType: the header is absent or names another type
        """
        if "CONTENT_TYPE" not in self.environ:
            raise self.invalid_content_type(content_type=None)
        content_type: str = self.content_type
        if content_type in allowed_content_types:
            return content_type
        # RFC 9110 8.3.1: in any case, and with blanks before the parameters.
        media_type = content_type.strip().lower()
        if media_type not in allowed_content_types:
            raise self.invalid_content_type(content_type=content_type)
        return media_type

    def available_languages(self) -> list[str]:
        """Returns the locales on offer: those with a catalogue in ``i18n_domain``."""
        if self.i18n_domain == _i18n.DOMAIN:
            return _i18n.available_languages()
        return oslo_i18n.get_available_languages(self.i18n_domain)

    def best_match_language(self) -> str | None:
        """Returns the available locale that ``Accept-Language`` asks for.

        ``None`` where the header is absent or asks for nothing that is available.
        The choice follows RFC 4647, section 3.4 (lookup).
        """
        header = self.environ.get("HTTP_ACCEPT_LANGUAGE")
        if not header:
            return None
        return negotiate(header, tuple(self.available_languages()))

    def get_range_from_request(self, image_size: int) -> Range | ContentRange | None:
        """Returns the part of the content that is asked for, or ``None`` for all of it.

        ``Range`` counts first, if it is in bytes and the method is not HEAD;
        ``Content-Range`` is understood for old clients.

        :param image_size: size of the content in bytes
        :raises webob.exc.HTTPBadRequest: several ranges at once
        :raises webob.exc.HTTPRequestRangeNotSatisfiable: malformed, or outside the
            content; it carries the size in ``Content-Range`` (RFC 9110, 15.5.17)
        """
        header = self.environ.get("HTTP_RANGE")
        if header is not None:
            # RFC 9110 14.2: HEAD has no ranges.
            if self.method == "HEAD":
                return None
            return requested_range(header, image_size)
        header = self.environ.get("HTTP_CONTENT_RANGE")
        if header is not None:
            return requested_content_range(header, image_size)
        return None

    def select(
        self,
        size: int,
        *,
        etag: str | None = None,
        last_modified: datetime.datetime | None = None,
    ) -> Selection:
        """Returns the part of a content that answers this request.

        Evaluates ``If-Match``, ``If-Unmodified-Since``, ``If-None-Match``,
        ``If-Modified-Since``, ``Range`` and ``If-Range`` in the order of RFC 9110,
        13.2.2. Several ranges, and those of another unit than bytes, are answered with
        the whole.

        :param size: of the content in bytes
        :param etag: strong entity tag, without quotes
        :param last_modified: with a time zone
        :returns: what to send; its ``fill`` prepares a response
        :raises webob.exc.HTTPPreconditionFailed: the client has another version
        :raises webob.exc.HTTPNotModified: the client has this version
        :raises webob.exc.HTTPRequestRangeNotSatisfiable: as
            :meth:`get_range_from_request`
        """
        return select(self, size, etag=etag, last_modified=last_modified)

    @property
    def POST(self) -> Any:
        """The parameters of the body, where it is a form; ``params`` has them too.

        :raises UnicodeDecodeError: they are not UTF-8
        :raises webob.exc.HTTPBadRequest: the form cannot be read by its content type
        :raises webob.exc.HTTPUnsupportedMediaType: the form is in a content coding
        """
        header = self.environ.get("HTTP_CONTENT_ENCODING")
        if header and self.content_type in FORMS:
            asked_coding(header, ())
        try:
            return super().POST
        except UnicodeDecodeError:
            raise
        except _UNREADABLE as exc:
            text = MALFORMED.filled(header="Content-Type")
            raise webob.exc.HTTPBadRequest(explanation=text) from exc

    @property
    def body_file(self) -> Any:
        """The body as a file. Setting it also forgets the declared length.

        Under uWSGI a chunked body does not come through ``wsgi.input``; the first
        access puts a file there that reads it.
        """
        self._adopt_chunked_input()
        return _BODY_FILE.__get__(self)

    @body_file.setter
    def body_file(self, value: Any) -> None:
        _BODY_FILE.__set__(self, value)

    @property
    def is_body_readable(self) -> bool:
        """Whether reading ``wsgi.input`` gives the body and ends where it ends."""
        self._adopt_chunked_input()
        return bool(_IS_BODY_READABLE.__get__(self))

    @is_body_readable.setter
    def is_body_readable(self, flag: bool) -> None:
        _IS_BODY_READABLE.__set__(self, flag)

    def _adopt_chunked_input(self) -> None:
        source = self.uwsgi
        if source is None:
            return
        environ = self.environ
        if "wsgi_api.chunked_input" in environ:
            return
        if environ.get("HTTP_TRANSFER_ENCODING", "").strip().lower() != "chunked":
            return
        environ["wsgi_api.chunked_input"] = True
        environ["wsgi.input"] = chunked_input(source)
        environ["wsgi.input_terminated"] = True


def is_json_content_type(request: webob.Request) -> bool:
    """Returns whether a body is there and is JSON, as the orchestration APIs see it.

    A missing or ``text/plain`` content type counts as JSON; for GET the parameter
    ``ContentType=JSON`` of the CloudFormation API in the query overrules the header.
    The body has to start with ``{``.

    :param request: its body is read

    Source: ``heat.common.wsgi.is_json_content_type``.
    """
    content_type: str = request.content_type
    if request.method == "GET":
        content_type = _aws_content_type(request) or content_type
    content_type = content_type.strip().lower()
    if not content_type or content_type.startswith("text/plain"):
        content_type = _JSON
    return content_type in ("json", _JSON) and request.body.startswith(b"{")


def _aws_content_type(request: webob.Request) -> str | None:
    try:
        return request.GET.get("ContentType")
    except UnicodeDecodeError:
        # A query that cannot be read names no type; the action will refuse it.
        return None
