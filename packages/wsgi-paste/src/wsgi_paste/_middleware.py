"""Filters: the base class of a service's own, and one that shows what passes through.

A filter costs what it uses. One that overrides nothing is a plain call of the next
application; one that looks at requests only never holds a response; only a filter that
changes responses pays for a ``webob.Response``.
"""

from __future__ import annotations

import codecs
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast, overload

import webob
import webob.exc

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)


class Middleware:
    """Base of WSGI filters: wraps ``application``, which is called next.

    Override ``process_request``, ``process_response`` or both; override neither and
    requests pass through untouched. ``webob.exc`` exceptions raised by these methods or
    by the application become the response.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self.application = application

    @classmethod
    def factory(
        cls, global_conf: dict[str, str] | None, **local_conf: str
    ) -> Callable[[WSGIApplication], WSGIApplication]:
        """Follows the ``paste.filter_factory`` protocol: ``= module:Class.factory``.

        Returns a function from an application to this filter around it. Settings of the
        ini file are accepted and not used; override the method to take some.
        """

        def make_filter(app: WSGIApplication) -> WSGIApplication:
            return cls(app)

        return make_filter

    def process_request(self, req: webob.Request) -> Any:
        """Looks at each request; None passes it on to the application.

        Anything else is the response, and the application is not called: a
        ``webob.Response``, any WSGI application, or a text.
        """
        return None

    def process_response(self, response: webob.Response) -> Any:
        """Looks at each response; returns the one to send.

        ``response.request`` is the request. Not called for what ``process_request``
        answered.
        """
        return response

    @overload
    def __call__(self, environ: webob.Request) -> Any: ...

    @overload
    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]: ...

    def __call__(
        self,
        environ: WSGIEnvironment | webob.Request,
        start_response: StartResponse | None = None,
    ) -> Any:
        """Follows PEP 3333; given a ``webob.Request`` alone, returns the response."""
        if start_response is None:
            return self._respond(cast("webob.Request", environ))
        environ = cast("WSGIEnvironment", environ)
        # Looked up on every call, because tests and services replace these methods on
        # instances and on classes after the fact.
        looks = getattr(self.process_request, "__func__", None) is not _LOOK_AT_NOTHING
        changes = (
            getattr(self.process_response, "__func__", None) is not _CHANGE_NOTHING
        )
        try:
            if changes:
                answer = self._respond(webob.Request(environ))
            elif looks:
                answer = self.process_request(webob.Request(environ))
            else:
                answer = None
            if not answer:
                return self.application(environ, start_response)
        except webob.exc.HTTPException as exc:
            answer = exc
        if isinstance(answer, (str, bytes)):
            answer = webob.Response(answer)
        return answer(environ, start_response)

    def _respond(self, request: webob.Request) -> Any:
        answer = self.process_request(request)
        if answer:
            return answer
        response = request.get_response(self.application)
        response.request = request
        body = response.app_iter
        try:
            changed = self.process_response(response)
        except BaseException as exc:
            # PEP 3333: whoever took the iterable closes it, and nobody else will now.
            _close(body)
            if isinstance(exc, webob.exc.HTTPException):
                return exc
            raise
        if changed is None or changed is response:
            # A method that forgot its return statement means the response it was given.
            return response
        if response.app_iter is body and _is_complete(changed):
            _close(body)
        return changed


_LOOK_AT_NOTHING = Middleware.process_request
_CHANGE_NOTHING = Middleware.process_response


class Debug(Middleware):
    """Prints every request's environ and every response's headers and body.

    ``stream`` is a text stream, stdout when left out. The response is passed on piece
    by piece as the application makes it, closed as the server closes it. Credentials
    show their length only. Output that cannot be written is given up with a warning;
    the response goes on.
    """

    def __init__(
        self, application: WSGIApplication, stream: TextIO | None = None
    ) -> None:
        super().__init__(application)
        self.stream = stream

    @classmethod
    def factory(
        cls, global_conf: dict[str, str] | None, **local_conf: str
    ) -> Callable[[WSGIApplication], WSGIApplication]:
        """Follows the ``paste.filter_factory`` protocol, with one setting.

        ``output`` is ``stdout`` (the default), ``stderr`` or the path of a file to
        append to. Raises ``OSError`` when that file cannot be opened.
        """
        stream = _open_output(local_conf.get("output", "stdout"))

        def make_filter(app: WSGIApplication) -> WSGIApplication:
            # A subclass with the constructor of the base class is content with stdout.
            return cls(app) if stream is None else cls(app, stream)

        return make_filter

    def __call__(
        self,
        environ: WSGIEnvironment | webob.Request,
        start_response: StartResponse | None = None,
    ) -> Any:
        """Follows PEP 3333; given a ``webob.Request`` alone, returns the response."""
        if start_response is None:
            return cast("webob.Request", environ).get_response(self)
        environ = cast("WSGIEnvironment", environ)
        stream = self.stream
        _print_table(stream, "REQUEST ENVIRON", environ.items())

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            _print_table(stream, "RESPONSE HEADERS", [("status", status), *headers])
            write = start_response(status, headers, exc_info)

            def print_and_write(data: bytes) -> object:
                _print(stream, _as_text(data))
                return write(data)

            return print_and_write

        body = self.application(environ, start)
        if stream is None:
            return self.print_generator(body)
        return self.print_generator(body, stream)

    @staticmethod
    def print_generator(
        app_iter: Iterable[bytes], stream: TextIO | None = None
    ) -> Iterator[bytes]:
        """Returns ``app_iter`` again, printing each piece to ``stream`` as it is taken.

        The result has the ``close()`` of ``app_iter``, and its length where it has one,
        for servers that look at it.
        """
        if hasattr(app_iter, "__len__"):
            return _SizedPrintedBody(app_iter, stream)
        return _PrintedBody(app_iter, stream)


def debug_filter(app: WSGIApplication, conf: Any, **local_conf: str) -> Debug:
    """Returns a ``Debug`` around ``app``: what ``FilterFactory`` can name in a file.

    ``conf`` is not used; ``output`` of the section is as for ``Debug.factory``.
    """
    return Debug(app, _open_output(local_conf.get("output", "stdout")))


class _PrintedBody:
    """An iterator with ``close()``; a generator never started would not run its own."""

    def __init__(self, app_iter: Iterable[bytes], stream: TextIO | None) -> None:
        self._app_iter = app_iter
        self._parts: Iterator[bytes] | None = None
        self._stream = stream
        # Characters may be cut in two between pieces.
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        title = ""
        if self._parts is None:
            title = f"{_RULE} BODY\n"
            self._parts = iter(self._app_iter)
        try:
            part = next(self._parts)
        except StopIteration:
            end = self._decoder.decode(b"", final=True)
            _print(self._stream, f"{title}{end}\n")
            raise
        # After the piece, because a generator calls start_response on its way to it.
        _print(self._stream, title + self._decoder.decode(part))
        return part

    def close(self) -> None:
        _close(self._app_iter)


class _SizedPrintedBody(_PrintedBody):
    def __len__(self) -> int:
        return len(cast("list[bytes]", self._app_iter))


_RULE = "*" * 40
_CREDENTIAL = re.compile(
    r"(http[_-])?(authorization|proxy[_-]authorization|cookie|set[_-]cookie"
    r"|x[_-](auth|service|subject|storage)[_-]token|x[_-]auth[_-]key)"
    # What WebOb keeps of the cookies that somebody has asked it for.
    r"|webob\._parsed_cookies",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _print_table(
    stream: TextIO | None, title: str, rows: Iterable[tuple[str, Any]]
) -> None:
    # One write for the whole, so that requests served together do not mix their lines.
    lines = [f"{_RULE} {title}"]
    for key, value in rows:
        text = _CONTROL.sub(lambda match: repr(match[0])[1:-1], str(value))
        if _CREDENTIAL.fullmatch(key):
            text = f"<{len(text)} characters>"
        lines.append(f"{key} = {text}")
    _print(stream, "\n".join(lines) + "\n\n")


def _print(stream: TextIO | None, text: str) -> None:
    # sys.stdout is looked up late: it may be replaced, and is None in a daemon.
    target = sys.stdout if stream is None else stream
    if target is None:
        return
    encoding = getattr(target, "encoding", None) or "utf-8"
    try:
        target.write(text.encode(encoding, "backslashreplace").decode(encoding))
        target.flush()
    except (OSError, ValueError) as exc:  # a full disk, a closed stream
        LOG.warning("cannot write debug output to %s: %s", target, exc)


def _is_complete(answer: Any) -> bool:
    """Tells whether nothing in it can lead to the body of another response."""
    if isinstance(answer, webob.Response):
        return isinstance(answer.app_iter, list)
    return isinstance(answer, (str, bytes))


def _as_text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _open_output(output: str) -> TextIO | None:
    if output == "stdout":
        return None
    if output == "stderr":
        return sys.stderr
    # Not closed: it lives as long as the filter, which is as long as the process.
    return open(output, "a", encoding="utf-8", buffering=1)


def _close(app_iter: Iterable[bytes]) -> None:
    close = getattr(app_iter, "close", None)
    if close is not None:
        close()
