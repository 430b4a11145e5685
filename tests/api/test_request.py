"""Request: content types, languages, ranges, bodies."""

from __future__ import annotations

import io
from typing import Any

import pytest
import webob.exc
from wsgi_api import Request, is_json_content_type
from wsgi_api.errors import InvalidContentType


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("application/json", "application/json"),
        ("application/xml", "application/json"),
        ("application/json;q=0.3, application/xml;q=0.9", "application/json"),
        ("no media type at all", "application/json"),
    ],
)
def test_best_match_content_type_is_json_unless_more_is_offered(
    accept: str | None, expected: str
) -> None:
    request = Request.blank("/", headers={"Accept": accept} if accept else None)
    assert request.best_match_content_type() == expected


def test_best_match_content_type_follows_the_offers_of_a_subclass() -> None:
    class BothWays(Request):
        response_types = ("application/json", "application/xml")

    accept = "application/json;q=0.3, application/xml;q=0.9"
    request = BothWays.blank("/", headers={"Accept": accept})
    assert request.best_match_content_type() == "application/xml"


def test_get_content_type_leaves_the_parameters_out() -> None:
    request = Request.blank("/", content_type="application/json; charset=UTF-8")
    assert request.get_content_type(("application/json",)) == "application/json"


@pytest.mark.parametrize(
    "content_type", ["Application/JSON", "application/json ; x=1", " application/json"]
)
def test_get_content_type_takes_any_case_and_blanks(content_type: str) -> None:
    environ: dict[str, Any] = {"CONTENT_TYPE": content_type}
    request = Request.blank("/", environ=environ)
    assert request.get_content_type(("application/json",)) == "application/json"
    with pytest.raises(InvalidContentType):
        request.get_content_type(("text/plain",))


@pytest.mark.parametrize("content_type", [None, "text/html"])
def test_get_content_type_refuses_what_is_not_allowed(content_type: str | None) -> None:
    request = Request.blank("/", content_type=content_type)
    with pytest.raises(InvalidContentType) as caught:
        request.get_content_type(("application/json",))
    assert caught.value.code == 415
    assert str(content_type or "no Content-Type") in caught.value.explanation


def test_get_content_type_raises_the_exception_of_a_subclass() -> None:
    class Ours(Exception):
        def __init__(self, content_type: str | None) -> None:
            self.seen = content_type

    class OurRequest(Request):
        invalid_content_type = Ours

    with pytest.raises(Ours) as caught:
        OurRequest.blank("/", content_type="text/html").get_content_type(())
    assert caught.value.seen == "text/html"


def test_best_match_language_needs_the_header() -> None:
    assert Request.blank("/").best_match_language() is None
    empty = Request.blank("/", headers={"Accept-Language": ""})
    assert empty.best_match_language() is None


def test_best_match_language_chooses_among_the_catalogues() -> None:
    class Polyglot(Request):
        def available_languages(self) -> list[str]:
            return ["en_US", "de", "pt_BR", "zh_CN"]

    def match(header: str) -> str | None:
        request = Polyglot.blank("/", headers={"Accept-Language": header})
        return request.best_match_language()

    assert match("fr, de;q=0.5") == "de"
    assert match("pt-PT") is None
    assert match("pt") == "pt_BR"
    assert match("zh-CN,zh;q=0.9,en;q=0.8") == "zh_CN"
    assert match("unknown-lang") is None


def test_the_languages_on_offer_come_from_the_domain() -> None:
    class Service(Request):
        i18n_domain = "a-domain-without-catalogues"

    assert Service.blank("/").available_languages() == ["en_US"]
    assert "en_US" in Request.blank("/").available_languages()


def test_range_is_parsed() -> None:
    request = Request.blank("/", headers={"Range": "bytes=10-99"})
    found: Any = request.get_range_from_request(120)
    assert (found.start, found.end) == (10, 100)


def test_content_range_is_understood_where_there_is_no_range() -> None:
    request = Request.blank("/", headers={"Content-Range": "bytes 10-99/*"})
    found: Any = request.get_range_from_request(120)
    assert (found.start, found.stop, found.length) == (10, 100, None)


def test_without_a_range_there_is_none() -> None:
    assert Request.blank("/").get_range_from_request(120) is None


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=119-", 119, None),
        ("bytes=0-500", 0, 501),
        ("bytes=-5", -5, None),
        ("bytes=0-" + "9" * 5000, 0, 10**19 + 1),
        ("BYTES = 1 - 2", 1, 3),
        ("bytes=,0-1, ,", 0, 2),
        ("bytes=-500", -500, None),
    ],
)
def test_ranges_that_start_inside_the_content(
    header: str, start: int, end: int | None
) -> None:
    request = Request.blank("/", headers={"Range": header})
    found: Any = request.get_range_from_request(120)
    assert (found.start, found.end) == (start, end)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=120-",
        "bytes=150-160",
        "bytes=5-4",
        "bytes=-",
        "bytes=-0",
        "bytes=a-b",
        "bytes=0-1x",
        "bytes",
        "bytes=",
        "bytes=,",
        "nonsense",
        "",
        "bytes=" + "9" * 5000 + "-",
        "bytes=٣-٤".encode().decode("latin-1"),
    ],
)
def test_ranges_that_cannot_be_satisfied(header: str) -> None:
    environ: dict[str, Any] = {"HTTP_RANGE": header}
    request = Request.blank("/", environ=environ)
    with pytest.raises(webob.exc.HTTPRequestRangeNotSatisfiable) as caught:
        request.get_range_from_request(120)
    assert caught.value.headers["Content-Range"] == "bytes */120"
    assert "Range" in caught.value.explanation


def test_an_empty_content_has_last_bytes_but_no_first_one() -> None:
    """RFC 9110 14.1.2: the only satisfiable form is a suffix of some length."""
    for header in ("bytes=0-", "bytes=0-0", "bytes=-0", "bytes=1-"):
        with pytest.raises(webob.exc.HTTPRequestRangeNotSatisfiable) as caught:
            Request.blank("/", headers={"Range": header}).get_range_from_request(0)
        assert caught.value.headers["Content-Range"] == "bytes */0"
    for header in ("bytes=-1", "bytes=-500"):
        request = Request.blank("/", headers={"Range": header})
        assert request.get_range_from_request(0) is None
        assert request.get_range_from_request(1) is not None


def test_a_range_of_another_unit_and_one_for_head_are_no_ranges() -> None:
    """RFC 9110 14.2."""
    for header in ("items=0-1", "items=0-1,3-4", "x-bytes=200-"):
        request = Request.blank("/", headers={"Range": header})
        assert request.get_range_from_request(120) is None
    request = Request.blank("/", method="HEAD", headers={"Range": "bytes=0-1"})
    assert request.get_range_from_request(120) is None
    # Content-Range is no field of any request; old clients send it as they do.
    request = Request.blank("/", headers={"Content-Range": "bytes 0-1/*"})
    found: Any = request.get_range_from_request(120)
    assert found.stop == 2


def test_several_ranges_are_refused() -> None:
    request = Request.blank("/", headers={"Range": "bytes=0-1,3-4"})
    with pytest.raises(webob.exc.HTTPBadRequest):
        request.get_range_from_request(120)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-99",
        "bytes 99-0/*",
        "bytes 0-120/*",
        "bytes 120-130/200",
        "bytes 0-9/5",
        "bytes */120",
    ],
)
def test_content_ranges_that_cannot_be_satisfied(header: str) -> None:
    request = Request.blank("/", headers={"Content-Range": header})
    with pytest.raises(webob.exc.HTTPRequestRangeNotSatisfiable):
        request.get_range_from_request(120)
    control = Request.blank("/", headers={"Content-Range": "bytes 0-119/120"})
    found: Any = control.get_range_from_request(120)
    assert found.stop == 120


def test_params_holds_query_and_form() -> None:
    request = Request.blank("/?a=1", POST={"b": "2"})
    assert dict(request.params) == {"a": "1", "b": "2"}


def _form(content_type: str, body: bytes) -> Any:
    environ: dict[str, Any] = {"CONTENT_TYPE": content_type}
    return Request.blank("/", method="POST", body=body, environ=environ)


_PART = b'--x\r\nContent-Disposition: form-data; name="a"\r\n'
_PLAIN = _PART + b"\r\n1\r\n--x--\r\n"
_INSIDE = b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded; charset=latin-1", b"a=1"),
        ("multipart/form-data", _PLAIN),
        ("multipart/form-data; boundary=\xe9", _PLAIN),
        (
            "multipart/form-data; boundary=x",
            _PART + b"Content-Type: text/plain; charset=nonsense\r\n\r\n1\r\n--x--\r\n",
        ),
        (
            "multipart/form-data; boundary=x",
            _PART + b"Content-Transfer-Encoding: base64\r\n\r\n!!x\r\n--x--\r\n",
        ),
        (
            "multipart/form-data; boundary=x",
            _PART
            + b"Content-Transfer-Encoding: base64\r\n"
            + b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n",
        ),
        ("multipart/form-data; boundary=x", _INSIDE * 1000),
    ],
    ids=[
        "another charset",
        "no boundary",
        "a boundary that is not ASCII",
        "an unknown charset",
        "broken base64",
        "a form in base64",
        "a form of a thousand levels",
    ],
)
def test_a_form_that_cannot_be_read_is_a_bad_request(
    content_type: str, body: bytes
) -> None:
    with pytest.raises(webob.exc.HTTPBadRequest) as caught:
        _ = _form(content_type, body).params
    assert "Content-Type" in caught.value.explanation
    control = _form("multipart/form-data; boundary=x", _PLAIN)
    assert dict(control.params) == {"a": "1"}


def test_a_form_that_is_not_utf_8_says_so() -> None:
    part = _PART + b"Content-Transfer-Encoding: base64\r\n\r\n/w==\r\n--x--\r\n"
    with pytest.raises(UnicodeDecodeError):
        _ = _form("multipart/form-data; boundary=x", part).params


def test_setting_body_file_forgets_the_length() -> None:
    request = Request.blank("/", method="PUT", body=b"old")
    request.body_file = io.BytesIO(b"new content")
    assert request.content_length is None
    assert request.body_file.read() == b"new content"


class _UWSGI:
    """The uwsgi module as far as chunked bodies go."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)

    def chunked_read(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""


def _under_uwsgi(*chunks: bytes, **headers: str) -> Any:
    class UWSGIRequest(Request):
        uwsgi = _UWSGI(*chunks)

    return UWSGIRequest.blank("/", method="PUT", headers=headers)


def test_chunked_bodies_are_read_through_uwsgi() -> None:
    request = _under_uwsgi(b"abc", b"defgh", **{"Transfer-Encoding": "chunked"})
    assert request.body_file.read(2) == b"ab"
    assert request.body_file.read(4) == b"cdef"
    assert request.body_file.read() == b"gh"
    assert request.body_file.read() == b""


def test_a_chunked_body_under_uwsgi_can_be_had_whole() -> None:
    request = _under_uwsgi(b"abc", b"def", **{"Transfer-Encoding": "Chunked"})
    assert request.is_body_readable
    assert request.body == b"abcdef"
    assert request.body == b"abcdef"


def test_a_large_chunk_under_uwsgi_comes_in_pieces() -> None:
    chunk = bytes(range(256)) * 1024
    request = _under_uwsgi(chunk, **{"Transfer-Encoding": "chunked"})
    pieces = list(iter(lambda: request.body_file.read(70_000), b""))
    assert b"".join(pieces) == chunk
    assert len(pieces) == 4


def test_sized_bodies_do_not_need_uwsgi() -> None:
    request = _under_uwsgi(b"wrong")
    request.body = b"right"
    assert request.body_file.read() == b"right"


@pytest.mark.parametrize(
    ("method", "path", "content_type", "body", "expected"),
    [
        ("POST", "/", "application/json", b'{"a": 1}', True),
        ("POST", "/", "Application/JSON", b'{"a": 1}', True),
        ("POST", "/", "application/json ; charset=utf-8", b'{"a": 1}', True),
        ("POST", "/", "Text/Plain", b'{"a": 1}', True),
        ("POST", "/", "JSON", b'{"a": 1}', True),
        ("POST", "/", "application/json", b"[1]", False),
        ("POST", "/", None, b'{"a": 1}', True),
        ("POST", "/", "text/plain", b'{"a": 1}', True),
        ("POST", "/", "application/xml", b'{"a": 1}', False),
        ("POST", "/?ContentType=JSON", "application/xml", b'{"a": 1}', False),
        ("GET", "/?ContentType=JSON", "application/xml", b'{"a": 1}', True),
        ("GET", "/?ContentType=%ff", "application/json", b'{"a": 1}', True),
    ],
)
def test_is_json_content_type(
    method: str, path: str, content_type: str | None, body: bytes, expected: bool
) -> None:
    request = Request.blank(path, method=method, body=body)
    request.content_type = content_type
    assert is_json_content_type(request) is expected
