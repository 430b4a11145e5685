"""Debug: it shows everything, changes nothing, and cannot break a response."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from wsgiref.validate import validator

import pytest
import webob
from hypothesis import given, settings
from hypothesis import strategies as st
from started import Started
from wsgi_paste import Debug, Middleware, debug_filter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication


class Body:
    def __init__(self, *parts: bytes) -> None:
        self.taken = 0
        self.parts = parts
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        for part in self.parts:
            self.taken += 1
            yield part

    def close(self) -> None:
        self.closed += 1


def app_with(body: Iterable[bytes]) -> Any:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    return app


def test_it_shows_environ_headers_and_a_body_of_bytes_on_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = validator(Debug(validator(app_with([b"hello ", b"world"]))))

    response = webob.Request.blank("/path?q=1").get_response(app)

    assert response.body == b"hello world"
    shown = capsys.readouterr().out
    stars = "*" * 40
    assert f"{stars} REQUEST ENVIRON\n" in shown
    assert "PATH_INFO = /path\n" in shown
    assert f"{stars} RESPONSE HEADERS\nstatus = 200 OK\nContent-Type = " in shown
    assert f"{stars} BODY\nhello world\n" in shown


def test_it_writes_where_it_is_told() -> None:
    stream = io.StringIO()

    webob.Request.blank("/").get_response(Debug(app_with([b"x"]), stream)).body  # noqa: B018

    assert "BODY\nx\n" in stream.getvalue()


def test_it_is_a_middleware() -> None:
    assert issubclass(Debug, Middleware)


def test_it_streams_piece_by_piece() -> None:
    body = Body(b"1", b"2", b"3")
    shown = iter(Debug(app_with(body), io.StringIO())({}, Started()))

    assert body.taken == 0
    assert next(shown) == b"1"
    assert body.taken == 1


@pytest.mark.parametrize("taken", [0, 1, 2], ids="{} pieces taken".format)
def test_close_reaches_the_application_however_much_was_taken(taken: Any) -> None:
    body = Body(b"1", b"2")
    shown: Any = Debug.print_generator(body, io.StringIO())

    for _ in range(taken):
        next(shown)
    shown.close()

    assert body.closed == 1


def test_close_of_a_body_without_close_does_nothing() -> None:
    shown: Any = Debug.print_generator(iter([b"1"]), io.StringIO())

    assert list(shown) == [b"1"]
    shown.close()


@pytest.mark.parametrize(("body", "length"), [([b"1", b"2"], 2), (iter([b"1"]), None)])
def test_the_length_is_known_exactly_where_it_was(
    body: Iterable[bytes], length: Any
) -> None:
    # PEP 3333: a server may announce Content-Length for a body of length 1.
    shown: Any = Debug.print_generator(body, io.StringIO())

    assert (len(shown) if hasattr(shown, "__len__") else None) == length


def test_print_generator_prints_to_stdout_by_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(Debug.print_generator([b"a", b"b"])) == [b"a", b"b"]
    assert capsys.readouterr().out == "*" * 40 + " BODY\nab\n"


def test_characters_cut_between_pieces_and_bytes_that_are_no_text_are_shown() -> None:
    stream = io.StringIO()

    list(Debug.print_generator([b"gr\xc3", b"\xbcn \xff", b"\xc3"], stream))

    assert "grün \\xff\\xc3\n" in stream.getvalue()


@settings(deadline=None)
@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_wherever_a_body_is_cut_the_same_is_passed_and_shown(
    body: bytes, cuts: list[int]
) -> None:
    places = sorted({0, *(min(cut, len(body)) for cut in cuts), len(body)})
    pieces = [body[start:end] for start, end in pairwise(places)]
    whole, cut = io.StringIO(newline=""), io.StringIO(newline="")

    list(Debug.print_generator([body], whole))

    assert b"".join(Debug.print_generator(pieces, cut)) == body
    assert cut.getvalue() == whole.getvalue()


def test_what_the_application_writes_is_shown_and_written() -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])(b"written")
        return []

    stream = io.StringIO()
    response = webob.Request.blank("/").get_response(Debug(app, stream))

    assert response.body == b"written"
    assert "written" in stream.getvalue()


def test_exc_info_reaches_the_server() -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            os.environ["NOT_SET_ANYWHERE"]
        except KeyError:
            start_response("500 Oh", [], sys.exc_info())
        return []

    started = Started()
    list(Debug(app, io.StringIO())({}, started))

    ((status, _, exc_info),) = started.calls
    assert status == "500 Oh"
    assert exc_info is not None
    assert exc_info[0] is KeyError


def test_given_a_request_alone_it_returns_the_response() -> None:
    response = Debug(app_with([b"x"]), io.StringIO())(webob.Request.blank("/"))

    assert isinstance(response, webob.Response)
    assert response.body == b"x"


@pytest.mark.parametrize(
    "header",
    ["Authorization", "X-Auth-Token", "X-Subject-Token", "X-Service-Token", "Cookie"],
)
def test_credentials_are_not_shown(header: Any) -> None:
    stream = io.StringIO()
    request = webob.Request.blank("/", headers={header: "s3cret", "X-Other": "open"})

    request.get_response(Debug(app_with([]), stream))

    assert "s3cret" not in stream.getvalue()
    assert "<6 characters>" in stream.getvalue()
    assert "HTTP_X_OTHER = open" in stream.getvalue()


def test_a_cookie_that_is_set_is_not_shown() -> None:
    stream = io.StringIO()

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Set-Cookie", "id=s3cret")])
        return []

    response = webob.Request.blank("/").get_response(Debug(app, stream))

    assert response.headers["Set-Cookie"] == "id=s3cret"
    assert "s3cret" not in stream.getvalue()


def test_control_characters_cannot_forge_lines() -> None:
    stream = io.StringIO()

    webob.Request.blank("/a%0aBODY%1b[2J").get_response(Debug(app_with([]), stream))

    assert "PATH_INFO = /a\\nBODY\\x1b[2J\n" in stream.getvalue()


def test_a_stream_that_cannot_show_a_character_shows_its_number() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")

    list(Debug.print_generator(["grün".encode()], stream))

    assert b"gr\\xfcn" in raw.getvalue()


@pytest.mark.parametrize("fault", ["closed", "full"])
def test_output_that_cannot_be_written_does_not_stop_the_response(
    fault: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stream: TextIO
    if fault == "closed":
        stream = io.StringIO()
        stream.close()
    else:
        stream = open("/dev/full", "w")  # noqa: SIM115  closing it would raise again

    with caplog.at_level(logging.WARNING, "wsgi_paste"):
        response = webob.Request.blank("/").get_response(
            Debug(app_with([b"x"]), stream)
        )
        assert response.body == b"x"

    assert "cannot write debug output" in caplog.text
    if fault == "full":
        with pytest.raises(OSError, match="No space left"):
            stream.close()


def test_without_a_stdout_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    assert list(Debug.print_generator([b"x"])) == [b"x"]


def test_debug_filter_wraps_an_application() -> None:
    app = app_with([])

    wrapped = debug_filter(app, object(), output="stderr", other="ignored")

    assert type(wrapped) is Debug
    assert wrapped.application is app
    assert wrapped.stream is sys.stderr


def test_factory_writes_to_the_output_that_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "debug.txt"
    for local_conf in ({}, {"output": "stdout"}, {"output": "stderr"}):
        shown = Debug.factory({}, **local_conf)(app_with([b"shown"]))
        assert webob.Request.blank("/").get_response(shown).body == b"shown"
    app: Any = Debug.factory({}, output=str(path))(app_with([b"filed"]))
    assert webob.Request.blank("/").get_response(app).body == b"filed"
    app.stream.close()

    captured = capsys.readouterr()
    assert captured.out.count("shown") == 2
    assert captured.err.count("shown") == 1
    assert "filed" in path.read_text()


def test_an_output_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Debug.factory({}, output=str(tmp_path / "missing" / "file"))


def test_headers_come_before_a_body_that_is_made_on_the_way() -> None:
    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"made"

    stream = io.StringIO()

    assert webob.Request.blank("/").get_response(Debug(app, stream)).body == b"made"
    shown = stream.getvalue()
    assert shown.index("RESPONSE HEADERS") < shown.index("BODY")


def test_cookies_that_were_parsed_are_not_shown() -> None:
    stream = io.StringIO()
    request = webob.Request.blank("/", headers={"Cookie": "id=s3cret"})
    assert request.cookies["id"] == "s3cret"

    request.get_response(Debug(app_with([b"x"]), stream))

    assert "webob._parsed_cookies = <" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()


def test_subclasses_with_the_signatures_of_the_original_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Old(Debug):
        def __init__(self, application: WSGIApplication) -> None:
            super().__init__(application)

        @staticmethod
        def print_generator(  # type: ignore[override]  # the original has no `stream`
            app_iter: Iterable[bytes],
        ) -> Iterator[bytes]:
            return Debug.print_generator(app_iter)

    app = Old.factory({})(app_with([b"x"]))

    assert webob.Request.blank("/").get_response(app).body == b"x"
    assert "BODY\nx\n" in capsys.readouterr().out
