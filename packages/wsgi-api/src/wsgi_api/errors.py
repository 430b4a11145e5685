"""The exceptions of this package, their translation, and the record they leave."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from string import Template
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import webob.exc

from wsgi_api._headers import vary_by
from wsgi_api._i18n import Text, translate, translate_standard

__all__ = [
    "BodyTooLarge",
    "ExcInfo",
    "InvalidContentType",
    "MalformedBody",
    "NotAcceptable",
    "UndecodablePath",
    "UnsupportedContentEncoding",
    "log_exception",
    "translate_exception",
    "translate_for",
]

INCOMPLETE = Text("The body ended before its announced length.")

LOG = logging.getLogger(__name__)

ExcInfo: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None]
    | tuple[None, None, None]
    | BaseException
    | bool
    | None
)

AnyException = TypeVar("AnyException", bound=BaseException)


class InvalidContentType(webob.exc.HTTPUnsupportedMediaType):
    """The body of a request has a media type that the service does not read: 415.

    :param content_type: what the client declared; ``None`` if it declared nothing
    """

    # The one that shows the explanation; webob's template for 415 does not.
    body_template_obj = webob.exc.WSGIHTTPException.body_template_obj

    def __init__(self, content_type: str | None = None) -> None:
        if content_type is None:
            text = Text("The request has a body but no Content-Type.")
        else:
            text = Text(
                "The content type %(content_type)s is not supported.",
                {"content_type": content_type},
            )
        super().__init__(explanation=text)


class UnsupportedContentEncoding(webob.exc.HTTPUnsupportedMediaType):
    """The body of a request is in a content coding that the service does not read: 415.

    ``Accept-Encoding`` tells the client which it does (RFC 9110, 15.5.16).

    :param content_encoding: what the client declared
    :param known: the codings that would have been read
    """

    body_template_obj = webob.exc.WSGIHTTPException.body_template_obj

    def __init__(self, content_encoding: str, known: Iterable[str]) -> None:
        text = Text(
            "The content encoding %(content_encoding)s is not supported.",
            {"content_encoding": content_encoding},
        )
        accepted = ", ".join(sorted(known)) or "identity"
        super().__init__(explanation=text, headers=[("Accept-Encoding", accepted)])


class NotAcceptable(webob.exc.HTTPNotAcceptable):
    """The client accepts none of the media types that the service writes: 406.

    :param offers: those media types
    """

    body_template_obj = webob.exc.WSGIHTTPException.body_template_obj

    def __init__(self, offers: Iterable[str]) -> None:
        text = Text(
            "The answer can be had as %(offers)s only.", {"offers": ", ".join(offers)}
        )
        super().__init__(explanation=text)


class BodyTooLarge(webob.exc.HTTPRequestEntityTooLarge):
    """The body of a request is larger than the service reads: 413.

    :param limit: the largest size that would have been read, in bytes
    """

    def __init__(self, limit: int) -> None:
        text = Text(
            "The request body is larger than %(limit)d bytes.", {"limit": limit}
        )
        super().__init__(explanation=text)


class MalformedBody(webob.exc.HTTPBadRequest):
    """The body of a request cannot be read as what it claims to be: 400.

    :param explanation: what is wrong with it, and where
    """

    def __init__(self, explanation: str) -> None:
        super().__init__(explanation=explanation)


class UndecodablePath(webob.exc.HTTPBadRequest):
    """The path of a request is not UTF-8: 400."""

    def __init__(self) -> None:
        super().__init__(explanation=Text("The path of the URL is not UTF-8."))


def translate_exception(exception: AnyException, locale: str | None) -> AnyException:
    """Translates everything in an exception that a client may read.

    The exception gets a ``message`` (its own one, or else its text); an HTTP error
    also has its ``explanation``, ``detail`` and ``body_template`` translated, and
    ``Accept-Language`` added to its ``Vary``. Plain strings stay as they are.

    :param exception: any exception; it is changed in place
    :param locale: such as ``de`` or ``pt_BR``; ``None`` leaves the messages of this
        package and of webob in English, and those of oslo.i18n to the system's locale
    :returns: the same exception

    Source: ``heat.common.wsgi.translate_exception``.
    """
    # An exception class of a service may take attributes that nobody declared here.
    error: Any = exception
    message = getattr(error, "message", None)
    if message is None:
        message = _message(exception)
    error.message = translate(message, locale)
    if isinstance(exception, webob.exc.HTTPError):
        error.explanation = _explanation(exception, locale)
        error.detail = translate(getattr(error, "detail", None), locale)
        template = getattr(error, "body_template", None)
        if template:
            error.body_template = translate(template, locale)
            # The one that webob fills in.
            error.body_template_obj = Template(error.body_template)
        else:
            error.body_template_obj = _template(exception, locale)
        vary_by(exception.headerlist, "Accept-Language")
    return exception


def translate_for(request: object, exception: AnyException) -> AnyException:
    """Translates an exception into the language that a request asks for.

    :param request: a request; without ``best_match_language`` nothing is translated
    :param exception: any exception; it is changed in place
    :returns: the same exception

    Source: ``glance.common.wsgi.translate_exception``.
    """
    choose = getattr(request, "best_match_language", None)
    return exception if choose is None else translate_exception(exception, choose())


def log_exception(err: BaseException, exc_info: ExcInfo) -> None:
    """Leaves one record of an error that no part of the service expected.

    :param err: the error
    :param exc_info: as for :meth:`logging.Logger.error`; ``None`` leaves the
        traceback out

    Source: ``heat.common.wsgi.log_exception``.
    """
    LOG.error("unexpected error while serving a request: %s", err, exc_info=exc_info)


def _message(error: BaseException) -> object:
    if isinstance(error, webob.exc.WSGIHTTPException):
        # Its str() fails where a service explained itself with something else than
        # text, such as another exception.
        return error.detail or error.explanation
    return str(error)


def _template(error: webob.exc.HTTPError, locale: str | None) -> Template:
    template = error.body_template_obj
    if template is webob.exc.WSGIHTTPException.body_template_obj:
        return template
    # Some statuses have their sentence in the template, in place of an explanation.
    translated = translate_standard(template.template, locale)
    return template if translated == template.template else Template(translated)


def _explanation(error: webob.exc.HTTPError, locale: str | None) -> Any:
    explanation = error.explanation
    # webob's standard explanations are plain strings; only the class's own one may
    # be looked up, a service's sentence is not ours to translate.
    if explanation and explanation is type(error).explanation:
        return translate_standard(explanation, locale)
    return translate(explanation, locale)
