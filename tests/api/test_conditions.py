"""Conditional and range requests: RFC 9110, 13 and 14."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import webob
import webob.exc
from hypothesis import given, settings
from hypothesis import strategies as st
from wsgi_api import Request

_CHANGED = datetime.datetime(2024, 5, 3, 10, 11, 12, 999, datetime.timezone.utc)
_SAME = "Fri, 03 May 2024 10:11:12 GMT"
_BEFORE = "Fri, 03 May 2024 10:11:11 GMT"
_LATER = "Fri, 03 May 2024 10:11:13 GMT"


def _select(method: str = "GET", **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request.blank("/", method=method, headers=names)
    return request.select(100, etag="v1", last_modified=_CHANGED)


@pytest.mark.parametrize(
    ("headers", "start", "stop", "partial"),
    [
        ({}, 0, 100, False),
        ({"Range": "bytes=10-19"}, 10, 20, True),
        ({"Range": "bytes=90-200"}, 90, 100, True),
        ({"Range": "bytes=90-"}, 90, 100, True),
        ({"Range": "bytes=-10"}, 90, 100, True),
        ({"Range": "bytes=-500"}, 0, 100, True),
        ({"Range": "Bytes=0-99999999999999999999"}, 0, 100, True),
        ({"Range": "bytes=-99999999999999999999"}, 0, 100, True),
        ({"Range": "bytes=00000000000000000000001-2"}, 1, 3, True),
        ({"Range": "bytes=1-2,3-4"}, 0, 100, False),
        ({"Range": "bytes=1-2,"}, 1, 3, True),
        ({"Range": "items=0-5"}, 0, 100, False),
        ({"Range": "items=0-5,7-8"}, 0, 100, False),
        ({"Range": "nonsense"}, 0, 100, False),
        ({"Range": "bytes=1-2", "If_Range": '"v1"'}, 1, 3, True),
        ({"Range": "bytes=1-2", "If_Range": '"v0"'}, 0, 100, False),
        ({"Range": "bytes=1-2", "If_Range": 'W/"v1"'}, 0, 100, False),
        ({"Range": "bytes=1-2", "If_Range": _SAME}, 1, 3, True),
        ({"Range": "bytes=1-2", "If_Range": _LATER}, 0, 100, False),
        ({"Range": "bytes=1-2", "If_Range": "nonsense"}, 0, 100, False),
        ({"If_Match": '"v1"'}, 0, 100, False),
        ({"If_Match": '"v0", "v1"'}, 0, 100, False),
        ({"If_Match": '"v0","v1"'}, 0, 100, False),
        ({"If_Match": ' "v 0" ,, "v1"'}, 0, 100, False),
        ({"If_Match": "*"}, 0, 100, False),
        ({"If_Match": '"v1"', "If_Unmodified_Since": _BEFORE}, 0, 100, False),
        ({"If_Unmodified_Since": _SAME}, 0, 100, False),
        ({"If_Unmodified_Since": "nonsense"}, 0, 100, False),
        ({"If_None_Match": '"v0"'}, 0, 100, False),
        ({"If_None_Match": ""}, 0, 100, False),
        ({"If_None_Match": "v1"}, 0, 100, False),
        ({"If_None_Match": '"v0"', "If_Modified_Since": _LATER}, 0, 100, False),
        ({"If_Modified_Since": _BEFORE}, 0, 100, False),
        ({"If_Modified_Since": "Fri, 99 May 2024 10:11:12 GMT"}, 0, 100, False),
        ({"If_Modified_Since": ""}, 0, 100, False),
    ],
)
def test_what_is_sent(
    headers: dict[str, str], start: int, stop: int, partial: bool
) -> None:
    found = _select(**headers)
    assert (found.start, found.stop, found.partial) == (start, stop, partial)
    assert found.length == stop - start


@pytest.mark.parametrize(
    ("method", "headers", "code"),
    [
        ("GET", {"If_Match": '"v0"'}, 412),
        ("GET", {"If_Match": 'W/"v1"'}, 412),
        ("GET", {"If_Match": '"v0",W/"v1"'}, 412),
        ("PUT", {"If_Match": ""}, 412),
        ("PUT", {"If_Match": "v1"}, 412),
        ("PUT", {"If_Match": '"*"'}, 412),
        ("GET", {"If_Unmodified_Since": _BEFORE}, 412),
        ("GET", {"If_None_Match": '"v1"'}, 304),
        ("GET", {"If_None_Match": 'W/"v1"'}, 304),
        ("GET", {"If_None_Match": '"v0","v1"'}, 304),
        ("GET", {"If_None_Match": '"v0",W/"v1"'}, 304),
        ("PUT", {"If_None_Match": '"v0","v1"'}, 412),
        ("HEAD", {"If_None_Match": "*"}, 304),
        ("PUT", {"If_None_Match": "*"}, 412),
        ("GET", {"If_Modified_Since": _SAME}, 304),
        ("GET", {"If_Modified_Since": "Fri, 03 May 2024 10:11:12 -0000"}, 304),
        ("GET", {"Range": "bytes=100-"}, 416),
        ("GET", {"Range": "BYTES=100-"}, 416),
        ("GET", {"Range": "bytes=99999999999999999999-"}, 416),
        ("GET", {"Range": "bytes=a-b"}, 416),
        ("GET", {"Range": "bytes=9-8", "If_None_Match": '"v1"'}, 304),
    ],
)
def test_what_is_refused(method: str, headers: dict[str, str], code: int) -> None:
    with pytest.raises(webob.exc.WSGIHTTPException) as caught:
        _select(method, **headers)
    refused: Any = caught.value
    assert refused.code == code
    if code == 304:
        assert refused.etag == "v1"
        assert refused.last_modified == _CHANGED.replace(microsecond=0)


def test_range_and_modified_since_mean_nothing_to_other_methods() -> None:
    assert not _select("HEAD", Range="bytes=1-2").partial
    assert not _select("PUT", If_Modified_Since=_SAME).partial


def test_a_content_without_versions() -> None:
    def select(**headers: str) -> Any:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Request.blank("/", headers=names).select(100)

    assert select(If_None_Match='"v1"', If_Modified_Since=_SAME).length == 100
    assert select(If_Unmodified_Since=_BEFORE).length == 100
    assert not select(Range="bytes=1-2", If_Range='"v1"').partial
    assert not select(Range="bytes=1-2", If_Range=_SAME).partial
    with pytest.raises(webob.exc.HTTPPreconditionFailed):
        select(If_Match='"v1"')
    with pytest.raises(webob.exc.HTTPNotModified) as caught:
        select(If_None_Match="*")
    assert caught.value.etag is None


@pytest.mark.parametrize("header", ["bytes=-1", "bytes=-100"])
def test_the_last_bytes_of_an_empty_content_are_the_whole(header: str) -> None:
    request = Request.blank("/", headers={"Range": header})
    found = request.select(0)
    response = webob.Response()
    found.fill(response)
    assert (found.start, found.stop) == (0, 0)
    assert response.status_int == 200
    assert response.content_range is None
    assert response.content_length == 0


@pytest.mark.parametrize("header", ["bytes=-0", "bytes=0-", "bytes=0-0"])
def test_an_empty_content_has_no_other_part(header: str) -> None:
    with pytest.raises(webob.exc.HTTPRequestRangeNotSatisfiable):
        Request.blank("/", headers={"Range": header}).select(0)


def test_fill_describes_a_part() -> None:
    response = webob.Response()
    _select(Range="bytes=10-19").fill(response)
    assert response.status_int == 206
    assert response.headers["Content-Range"] == "bytes 10-19/100"
    assert response.headers["Content-Length"] == "10"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["ETag"] == '"v1"'
    assert response.headers["Last-Modified"] == _SAME


def test_fill_describes_the_whole() -> None:
    response = webob.Response()
    Request.blank("/").select(100).fill(response)
    assert response.status_int == 200
    assert response.headers["Content-Length"] == "100"
    assert "ETag" not in response.headers
    assert "Content-Range" not in response.headers


_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "HTTP_IF_MATCH",
            "HTTP_IF_NONE_MATCH",
            "HTTP_IF_MODIFIED_SINCE",
            "HTTP_IF_UNMODIFIED_SINCE",
            "HTTP_IF_RANGE",
            "HTTP_RANGE",
        ]
    ),
    st.text(st.characters(max_codepoint=255))
    | st.sampled_from([_SAME, "*", '"v1"', "bytes=0-", "bytes=-1", "bytes=5-7"]),
)


@settings(deadline=None, derandomize=True)
@given(_HEADERS)
def test_any_headers_are_answered(headers: dict[str, Any]) -> None:
    request = Request.blank("/", environ=headers)
    try:
        found = request.select(100, etag="v1", last_modified=_CHANGED)
        outcome = 206 if found.partial else 200
    except webob.exc.WSGIHTTPException as exc:
        outcome = exc.code
    assert outcome in {200, 206, 304, 412, 416}
