"""Bodies: what is read, what is refused, what is written."""

from __future__ import annotations

import datetime
import decimal
import functools
import io
import ipaddress
import itertools
import json
import json.encoder
import math
import socket
import uuid
import warnings
from collections.abc import Iterator
from typing import Any
from xmlrpc.client import DateTime

import pytest
import webob
import webob.exc
from hypothesis import given, settings
from hypothesis import strategies as st
from webob.multidict import MultiDict
from wsgi_api import (
    JSONRequestDeserializer,
    JSONResponseSerializer,
    Request,
    XMLResponseSerializer,
    _json,
    fast_decoder,
    fast_encoder,
)


def _request(body: bytes | None = None, **headers: str) -> Request:
    request = Request.blank("/", method="POST", headers=headers)
    if body is not None:
        request.body = body
    return request


@pytest.mark.parametrize(
    ("method", "encoding", "length", "expected"),
    [
        ("POST", None, None, False),
        ("POST", None, "0", False),
        ("POST", None, "4", True),
        ("GET", None, "4", True),
        ("POST", "chunked", None, True),
        ("PATCH", "gzip", None, True),
        ("GET", "chunked", None, False),
        ("POST", "invalid", None, False),
        ("POST", "chunked, gzip", None, False),
        ("POST", "chunked, gzip", "4", True),
        ("GET", None, 4, True),
        ("GET", None, 0, False),
        ("POST", None, "", False),
        ("POST", None, "-4", False),
        ("POST", None, "four", False),
    ],
)
def test_has_body(
    method: str, encoding: str | None, length: Any, expected: bool
) -> None:
    request = Request.blank("/", method=method)
    request.environ.pop("CONTENT_LENGTH", None)
    if encoding is not None:
        request.headers["Transfer-Encoding"] = encoding
    if length is not None:
        request.headers["Content-Length"] = length
    assert JSONRequestDeserializer().has_body(request) is expected


def test_valid_methods_and_encodings_are_those_of_the_class() -> None:
    request = _request(b"", **{"Transfer-Encoding": "CHUNKED"})
    assert JSONRequestDeserializer.is_valid_encoding(request)
    assert JSONRequestDeserializer.is_valid_method(request)
    assert not JSONRequestDeserializer.is_valid_encoding(_request())
    assert not JSONRequestDeserializer.is_valid_method(Request.blank("/"))


def test_default_gives_the_body_or_nothing() -> None:
    deserializer = JSONRequestDeserializer()
    assert deserializer.default(_request()) == {}
    assert deserializer.default(_request(b'{"key": "value"}')) == {
        "body": {"key": "value"}
    }


@pytest.mark.parametrize("parameter", ["charset", "Charset", "CHARSET"])
def test_the_name_of_a_charset_may_be_written_in_any_case(parameter: str) -> None:
    request = _request('["é"]'.encode("latin-1"))
    request.environ["CONTENT_TYPE"] = f"application/json; {parameter}=latin-1"
    assert JSONRequestDeserializer().default(request) == {"body": ["é"]}
    request.environ["CONTENT_TYPE"] = f"application/json; {parameter}x; v=1"
    with pytest.raises(webob.exc.HTTPBadRequest, match="UTF-8"):
        JSONRequestDeserializer().default(request)


@pytest.mark.parametrize("text", ['{"a": [1]}', b'{"a": [1]}', b" [1, 2] "])
def test_from_json_takes_text_and_bytes(text: str | bytes) -> None:
    assert JSONRequestDeserializer().from_json(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "line 1, column 1"),
        (b'{"a": 1,\n "b" 2}', "Expecting ':' delimiter at line 2, column 6"),
        (b"[1] x", "Extra data at line 1, column 5"),
        (b'"text"', "object or array"),
        (b"17", "object or array"),
        (b'{"a": "\xff"}', "byte 7"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"[" + b"1" * 5000 + b"]", "number too long"),
        (b'{"x": 1e999}', "number too large"),
        (b"[-1e999]", "number too large"),
        (b"[" + b"1" * 400 + b".0]", "number too large"),
        (b"[" * 101 + b"]" * 101, "deeper than 100"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "deeper than 100"),
        (b"[" * 100_000, "deeper than 100"),
    ],
)
def test_from_json_says_what_is_wrong(text: bytes, said: str) -> None:
    with pytest.raises(webob.exc.HTTPBadRequest) as caught:
        JSONRequestDeserializer().from_json(text)
    assert said in caught.value.explanation


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100 + "]" * 100,
        json.dumps(["[" * 500, '"[' * 500, "\\[" * 500]),
        json.dumps([[] for _ in range(500)]),
    ],
)
def test_what_is_not_too_deep_is_read(text: str) -> None:
    assert JSONRequestDeserializer().from_json(text) == json.loads(text)


def test_an_unclosed_string_of_quotes_is_refused_in_linear_time() -> None:
    text = "[" * 101 + '"' + '\\"' * 400_000
    with pytest.raises(webob.exc.HTTPBadRequest):
        JSONRequestDeserializer(max_json_body_size=None).from_json(text)


def test_the_last_of_duplicate_keys_counts_unless_they_are_refused() -> None:
    text = '{"a": 1, "b": {"a": 2, "a": 3}}'
    assert JSONRequestDeserializer().from_json(text)["b"] == {"a": 3}
    strict = JSONRequestDeserializer(duplicate_keys="reject")
    with pytest.raises(webob.exc.HTTPBadRequest) as caught:
        strict.from_json(text)
    assert '"a"' in caught.value.explanation
    assert strict.from_json('{"a": {"a": 1}}') == {"a": {"a": 1}}


def test_nan_is_read_where_it_is_allowed() -> None:
    lax = JSONRequestDeserializer(allow_nan=True)
    assert lax.from_json("[Infinity]") == [float("inf")]
    assert lax.from_json("[1e999]") == [float("inf")]


@pytest.mark.parametrize("library", [None, "orjson", "msgspec"])
def test_numbers_are_read_as_far_as_they_can_be_written(library: str | None) -> None:
    decoder = fast_decoder(library) if library else None
    reader = JSONRequestDeserializer(decoder=decoder)
    assert reader.from_json("[1e308, -1e308, 1e-999]") == [1e308, -1e308, 0.0]
    for number in ("1e999", "-1e999", "2e308"):
        with pytest.raises(webob.exc.HTTPBadRequest) as caught:
            reader.from_json(f"[{number}]")
        assert "number too large" in caught.value.explanation
        assert number not in caught.value.explanation


def test_a_text_longer_than_the_limit_is_refused() -> None:
    deserializer = JSONRequestDeserializer(max_json_body_size=10)
    assert deserializer.from_json("[" + " " * 8 + "]") == []
    with pytest.raises(webob.exc.HTTPRequestEntityTooLarge):
        deserializer.from_json("[" + " " * 9 + "]")


class _Counting(io.BytesIO):
    """Counts what was read of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_a_chunked_body_is_not_read_beyond_the_limit() -> None:
    source = _Counting(b"[" + b" " * 100_000 + b"]")
    request = Request.blank("/", method="POST")
    request.headers["Transfer-Encoding"] = "chunked"
    request.environ["wsgi.input"] = source
    request.is_body_seekable = False
    request.environ.pop("CONTENT_LENGTH", None)
    with pytest.raises(webob.exc.HTTPRequestEntityTooLarge):
        JSONRequestDeserializer(max_json_body_size=1000).default(request)
    assert source.taken == 1001


def test_a_chunked_body_below_the_limit_stays_readable() -> None:
    request = Request.blank("/", method="POST")
    request.headers["Transfer-Encoding"] = "chunked"
    request.environ["wsgi.input"] = io.BytesIO(b"[1]")
    request.is_body_seekable = False
    request.environ.pop("CONTENT_LENGTH", None)
    assert JSONRequestDeserializer().default(request) == {"body": [1]}
    assert request.body == b"[1]"


def test_a_sized_body_beyond_the_limit_is_not_read_at_all() -> None:
    source = _Counting(b"[" + b" " * 100 + b"]")
    request = Request.blank("/", method="POST")
    request.environ.update({"wsgi.input": source, "CONTENT_LENGTH": "102"})
    with pytest.raises(webob.exc.HTTPRequestEntityTooLarge):
        JSONRequestDeserializer(max_json_body_size=101).default(request)
    assert source.taken == 0
    control = JSONRequestDeserializer(max_json_body_size=102)
    assert control.default(request) == {"body": []}


def test_chunks_that_the_server_did_not_decode_are_refused() -> None:
    here, there = socket.socketpair()
    with here, there, here.makefile("rb") as source:
        request = Request.blank("/", method="POST")
        request.headers["Transfer-Encoding"] = "chunked"
        request.environ["wsgi.input"] = source
        request.environ.pop("CONTENT_LENGTH", None)
        # Nobody writes: to read would be to wait for ever.
        with pytest.raises(webob.exc.HTTPLengthRequired):
            JSONRequestDeserializer().default(request)
        request.environ["CONTENT_LENGTH"] = "2"
        there.sendall(b"[]")
        assert JSONRequestDeserializer().default(request) == {"body": []}


class _Trickling(io.BytesIO):
    """Gives one byte at a time, as a connection may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(1)


def test_a_body_that_trickles_in_is_read_whole() -> None:
    request = Request.blank("/", method="POST")
    request.environ.update(
        {"wsgi.input": _Trickling(b'{"a": 1}'), "CONTENT_LENGTH": "8"}
    )
    assert JSONRequestDeserializer().default(request) == {"body": {"a": 1}}
    assert request.body == b'{"a": 1}'


def test_a_chunked_body_without_a_limit_is_read_whole() -> None:
    request = Request.blank("/", method="POST")
    request.headers["Transfer-Encoding"] = "chunked"
    request.environ["wsgi.input"] = io.BytesIO(b"[1]")
    request.environ.pop("CONTENT_LENGTH", None)
    deserializer = JSONRequestDeserializer(max_json_body_size=None)
    assert deserializer.default(request) == {"body": [1]}


def test_a_body_that_was_read_before_is_read_again() -> None:
    request = _request(b"[1]")
    request.make_body_seekable()
    assert JSONRequestDeserializer().default(request) == {"body": [1]}


def test_without_the_c_encoder_the_same_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = {"a": [1, {"b": _UUID}], "é": None}
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    strict = _json._encoder(_json.lasting, allow_nan=False)
    assert "".join(strict(data, 0)).encode() == JSONResponseSerializer().to_json(data)
    with pytest.raises(ValueError, match="compliant"):
        "".join(strict([math.nan], 0))


def test_without_a_limit_everything_is_read() -> None:
    deserializer = JSONRequestDeserializer(max_json_body_size=None, max_depth=5)
    body = b"[" + b" " * (2 << 20) + b"]"
    assert deserializer.default(_request(body)) == {"body": []}


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("[]", 1),
        ("{}", 1),
        ('{"a": []}', 2),
        ('[{"a": 1}, {"b": 2}]', 2),
        ("[[], []]", 2),
        ('{"a": {"b": [{}]}}', 4),
        ('{"a": "[[[[{{{{"}', 1),
        (' {"a": [1]} ', 2),
    ],
)
def test_nesting_is_read_to_the_limit_and_not_deeper(text: str, depth: int) -> None:
    expected = json.loads(text)
    assert JSONRequestDeserializer(max_depth=depth).from_json(text) == expected
    with pytest.raises(webob.exc.HTTPBadRequest, match="nested deeper"):
        JSONRequestDeserializer(max_depth=depth - 1).from_json(text)


@pytest.mark.parametrize("library", [None, "orjson", "msgspec"])
@pytest.mark.parametrize("text", ["[" * 150_000 + "]" * 150_000, '{"a":' * 150_000])
def test_what_python_cannot_nest_is_refused_whatever_the_limit(
    library: str | None, text: str
) -> None:
    reader = JSONRequestDeserializer(
        max_depth=200_000,
        max_json_body_size=None,
        decoder=fast_decoder(library) if library else None,
    )
    with pytest.raises(webob.exc.HTTPBadRequest, match="nested deeper"):
        reader.from_json(text)
    assert reader.from_json("[" * 200 + "]" * 200)


@pytest.mark.parametrize("text", ["[1]\n", '{"a": 1} \r\n\t', "\n[1]", " {} "])
def test_whitespace_around_a_document_is_none_of_it(text: str) -> None:
    assert JSONRequestDeserializer().from_json(text) == json.loads(text)


@pytest.mark.parametrize("text", ["[1] x", "[1]\x0b", "{}\xa0", "[1][2]", "{} {}"])
def test_whatever_follows_a_document_is_refused(text: str) -> None:
    with pytest.raises(webob.exc.HTTPBadRequest, match="Extra data"):
        JSONRequestDeserializer().from_json(text)


@pytest.mark.parametrize("library", ["orjson", "msgspec"])
@pytest.mark.parametrize("allow_nan", [False, True])
@given(
    text=st.binary(max_size=60)
    | st.text(max_size=30).map(lambda text: json.dumps([text]).encode())
    | st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.floats()
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ).map(lambda value: json.dumps([value]).encode())
)
@settings(derandomize=True, deadline=None)
def test_a_fast_decoder_reads_and_refuses_the_same(
    library: str, allow_nan: bool, text: bytes
) -> None:
    def outcome(decoder: Any) -> str:
        reader = JSONRequestDeserializer(
            decoder=decoder, allow_nan=allow_nan, max_depth=3
        )
        try:
            return repr(reader.from_json(text))
        except webob.exc.HTTPBadRequest as exc:
            return str(exc)

    assert outcome(fast_decoder(library)) == outcome(None)


def test_a_decoder_that_fails_in_its_own_way_is_logged_and_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(text: str) -> Any:
        raise LookupError

    reader = JSONRequestDeserializer(decoder=broken)
    assert reader.from_json("[1]") == [1]
    with pytest.raises(webob.exc.HTTPBadRequest, match="not valid JSON"):
        reader.from_json("[1")
    assert [record.exc_info is not None for record in caplog.records] == [True] * 2


def test_a_fast_decoder_is_not_asked_where_keys_must_not_repeat() -> None:
    reader = JSONRequestDeserializer(decoder=fast_decoder(), duplicate_keys="reject")
    with pytest.raises(webob.exc.HTTPBadRequest, match="more than once"):
        reader.from_json('{"a": 1, "a": 2}')
    assert reader.from_json('{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("library", ["orjson", "msgspec"])
def test_encoder_and_decoder_may_be_attributes_of_a_class(library: str) -> None:
    class Reads(JSONRequestDeserializer):
        decoder: Any = fast_decoder(library)

    class Writes(JSONResponseSerializer):
        encoder: Any = fast_encoder(library)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Reads().from_json('{"a": 1}') == {"a": 1}
        assert Writes().to_json({"a": 1}) == b'{"a":1}'


def _plus(prefix: str, data: Any) -> bytes:
    return f"{prefix}{data}".encode()


class _Callable:
    def __call__(self, data: Any) -> bytes:
        return f"called with {data}".encode()


def _called(data: Any) -> bytes:
    return _Callable()(data)


@pytest.mark.parametrize(
    "function",
    [
        _called,
        lambda data: _called(data),
        functools.partial(_plus, "called with "),
        _Callable(),
        _Callable().__call__,
        staticmethod(_called),
    ],
)
def test_a_function_that_is_a_setting_is_no_method(function: Any) -> None:
    class Mixin:
        encoder = function
        decoder = function

    class Writes(Mixin, JSONResponseSerializer):
        pass

    class WritesOnly(JSONResponseSerializer):
        encoder = function

    class Inherits(WritesOnly):
        pass

    class Reads(Mixin, JSONRequestDeserializer):
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (Writes, WritesOnly, Inherits):
            assert kind().to_json(1) == b"called with 1"
            assert kind(encoder=_json.dumps).to_json(1) == b"1"
        with pytest.raises(webob.exc.HTTPBadRequest, match="object or array"):
            Reads().from_json("1")
        assert Reads().decoder is not None


class _Image:
    def to_dict(self) -> dict[str, Any]:
        return {"when": datetime.datetime(2024, 1, 31, 12)}  # noqa: DTZ001


class _Holds:
    def __init__(self, held: Any) -> None:
        self.held = held

    def to_dict(self) -> dict[str, Any]:
        return {"held": self.held}


class _Mapping:
    def items(self) -> list[tuple[str, int]]:
        return [("a", 1)]


class _Day(datetime.datetime):
    pass


_UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
_PLUS2 = datetime.timezone(datetime.timedelta(hours=2))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"key": "value"}, '{"key": "value"}'),
        ([1, None, True, 1.5], "[1, null, true, 1.5]"),
        ({"ü": "é"}, '{"\\u00fc": "\\u00e9"}'),
        ({"foo"}, '["foo"]'),
        (frozenset({1}), "[1]"),
        (_UUID, f'"{_UUID}"'),
        (datetime.date(2024, 1, 31), '"2024-01-31"'),
        (decimal.Decimal("1.50"), '"1.50"'),
        ("é".encode(), '"\\u00e9"'),
        (ipaddress.ip_address("::1"), '"::1"'),
        (MultiDict([("a", 1), ("a", 2), ("b", 3)]), '{"a": [1, 2], "b": 3}'),
        (_Image(), '{"when": "2024-01-31T12:00:00.000000"}'),
        (_Mapping(), '{"a": 1}'),
        (range(3), "[0, 1, 2]"),
        (ValueError("x"), "\"ValueError('x')\""),
        (itertools.count(3), '"count(3)"'),
        (DateTime("20240131T12:00:00"), '"2024-01-31T12:00:00.000000"'),
        (
            datetime.datetime(1901, 3, 8, 2),  # noqa: DTZ001
            '"1901-03-08T02:00:00.000000"',
        ),
        (
            datetime.datetime(2024, 1, 31, 12, 0, 0, 7, _PLUS2),
            '"2024-01-31T12:00:00.000007"',
        ),
        (_Day(2024, 1, 31), '"2024-01-31T00:00:00.000000"'),
    ],
)
def test_to_json(data: Any, text: str) -> None:
    assert JSONResponseSerializer().to_json(data) == text.encode()


def test_networks_of_netaddr_are_written_as_text() -> None:
    netaddr = pytest.importorskip("netaddr")
    data = [netaddr.IPNetwork("10.0.0.0/8"), netaddr.IPAddress("::1")]
    assert JSONResponseSerializer().to_json(data) == b'["10.0.0.0/8", "::1"]'


def test_years_before_1000_are_written_as_the_platform_does() -> None:
    value = datetime.datetime(987, 1, 1)  # noqa: DTZ001
    text = json.loads(JSONResponseSerializer().to_json(value))
    assert text == value.strftime("%Y-%m-%dT%H:%M:%S.%f")


def test_functions_and_generators_are_written_as_text_not_run() -> None:
    ran: list[int] = []

    def run() -> Iterator[None]:
        ran.append(1)
        yield

    generator = run()
    written = json.loads(JSONResponseSerializer().to_json([generator, len]))
    assert written == [str(generator), str(len)]
    assert ran == []


@pytest.mark.parametrize("library", [None, "orjson", "msgspec"])
def test_what_json_does_not_have_is_written_as_null(library: str | None) -> None:
    """RFC 8259, 6: NaN and Infinity are no numbers of JSON, not even where one asks."""
    encoder = fast_encoder(library) if library else None
    written = JSONResponseSerializer(encoder=encoder).to_json(
        {
            "a": [math.nan, math.inf, -math.inf, -1.5],
            "NaN": 'NaN "Infinity" \\',
            "made": _Holds([math.nan]),
            "numbers": iter([1, math.inf]),
            "decimal": decimal.Decimal("NaN"),
            "unwritable for a fast encoder": "\ud800",
        }
    )
    assert JSONRequestDeserializer().from_json(written) == {
        "a": [None, None, None, -1.5],
        "NaN": 'NaN "Infinity" \\',
        "made": {"held": [None]},
        "numbers": [1, None],
        "decimal": "NaN",
        "unwritable for a fast encoder": "\ud800",
    }


@pytest.mark.parametrize("key", [math.nan, math.inf])
def test_a_key_that_is_no_number_is_text(key: float) -> None:
    written = JSONResponseSerializer().to_json({key: key})
    assert JSONRequestDeserializer().from_json(written) == {
        {math.inf: "Infinity"}.get(key, "NaN"): None
    }


@pytest.mark.parametrize("data", [object(), io.BytesIO(b"x"), {(1, 2): 3}])
def test_to_json_refuses_what_has_no_form(data: Any) -> None:
    with pytest.raises(TypeError):
        JSONResponseSerializer().to_json(data)


def test_to_json_refuses_what_contains_itself() -> None:
    data: list[Any] = []
    data.append(data)
    with pytest.raises(ValueError, match="circular"):
        JSONResponseSerializer().to_json(data)


_JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(), children, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None, derandomize=True)
@given(st.lists(_JSON_VALUES) | st.dictionaries(st.text(), _JSON_VALUES))
def test_what_is_written_is_read_back(data: Any) -> None:
    written = JSONResponseSerializer().to_json(data)
    assert JSONRequestDeserializer().from_json(written) == data


@settings(deadline=None, derandomize=True)
@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read = JSONRequestDeserializer().from_json(data)
    except webob.exc.HTTPBadRequest as exc:
        read = [exc.explanation]
    assert isinstance(read, (dict, list))


def test_the_json_serializer_fills_the_response() -> None:
    response = webob.Response()
    JSONResponseSerializer().default(response, {"key": "value"})
    assert response.status_int == 200
    assert response.headers.getall("Content-Type") == ["application/json"]
    assert response.body == b'{"key": "value"}'


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"r": {"a": 1, "b": None}}, "<r><a>1</a><b>None</b></r>"),
        (
            {"r": ["x", {"y": "z"}]},
            "<r><member>x</member><member><y>z</y></member></r>",
        ),
        ({"r": {True: "x", None: "y"}}, "<r><True>x</True><None>y</None></r>"),
        ({"r": {}}, "<r/>"),
        ({"r": []}, "<r/>"),
        ({"r": ""}, "<r></r>"),
        ({"r": "<&>\r\"'"}, "<r>&lt;&amp;&gt;&#13;\"'</r>"),
        ({"r": "é\x00\ud800"}, "<r>&#233;&#65533;&#65533;</r>"),
        ({"r": {"Metadata": {"a": 1}}}, '<r><Metadata>{"a": 1}</Metadata></r>'),
        ({"r": {"TemplateBody": ""}}, "<r><TemplateBody/></r>"),
        (
            {"r": {"Metadata": {"a": _UUID}}},
            f'<r><Metadata>{{"a": "{_UUID}"}}</Metadata></r>',
        ),
    ],
)
def test_to_xml(data: Any, text: str) -> None:
    assert XMLResponseSerializer().to_xml(data) == text.encode()


def test_json_inside_xml_is_json() -> None:
    xml = XMLResponseSerializer().to_xml({"r": {"Metadata": [math.nan, 1.5]}})
    assert xml == b"<r><Metadata>[null, 1.5]</Metadata></r>"


def test_json_inside_xml_falls_back_to_text() -> None:
    odd = {(1, 2): 3}
    xml = XMLResponseSerializer().to_xml({"r": {"Metadata": odd}})
    assert xml == b"<r><Metadata>{(1, 2): 3}</Metadata></r>"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"a b": 1},
        {"r": {"<": 1}},
        {"": 1},
        {"naïve": 1},
        {"r": {"a²": 1}},
        {"r": {1: 2}},
    ],
)
def test_to_xml_refuses_what_cannot_name_an_element(data: Any) -> None:
    with pytest.raises(ValueError, match="name"):
        XMLResponseSerializer().to_xml(data)


def test_the_xml_serializer_fills_the_response() -> None:
    response = webob.Response()
    XMLResponseSerializer().default(response, {"r": 1})
    assert response.content_type == "application/xml"
    assert response.body == b"<r>1</r>"
