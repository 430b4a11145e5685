"""Language negotiation: RFC 9110, 12.5.4 and RFC 4647, 3.4."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsgi_api._fields.language import (
    _remembered,
    lookup,
    negotiate,
    parse_accept_language,
)


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        ("de", ["de"]),
        ("de;q=0.5, fr", ["fr", "de"]),
        ("a;q=0.5,b;q=0.5,c", ["c", "a", "b"]),
        ("de;q=0", []),
        ("de ; Q=0.25 ,fr\t;\tq=1.000", ["fr", "de"]),
        ("*, de", ["de"]),
        ("de;q=2, fr;q=0.1234, es;q=x, it;level=1, ja", ["ja"]),
        (",,de,,", ["de"]),
        ("de_DE", []),
        ("x" * 9, []),
        ("de," * 5000, ["de"] * 1365),
    ],
)
def test_parse_accept_language(header: str, ranges: list[str]) -> None:
    assert parse_accept_language(header) == ranges


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [
        (["de-CH"], ["en_US", "de"], "de"),
        (["de-CH"], ["de", "de_CH"], "de_CH"),
        (["DE-ch"], ["de_CH"], "de_CH"),
        (["zh-Hant-CN-x-private1"], ["zh_Hant_CN"], "zh_Hant_CN"),
        (["zh-Hans-CN"], ["zh_CN"], "zh_CN"),
        (["zh-Hans-CN"], ["zh_Hans_CN", "zh_CN"], "zh_CN"),
        (["pt"], ["pt_BR", "pt_PT"], "pt_BR"),
        (["pt-PT", "de"], ["pt_BR", "de"], "de"),
        (["fr", "de"], ["en_US", "de"], "de"),
        (["en", "fr"], ["en_US", "fr"], "en_US"),
        (["en-GB", "fr"], ["en_US", "fr"], "en_US"),
        (["en-GB"], ["en_US", "en_GB"], "en_GB"),
        ([], ["de"], None),
        (["de"], [], None),
    ],
)
def test_lookup(wanted: list[str], offered: list[str], expected: str | None) -> None:
    assert lookup(wanted, offered) == expected


def test_long_headers_are_negotiated_without_being_remembered() -> None:
    offered = ("en_US", "de")
    before = _remembered.cache_info().currsize
    assert negotiate("x" * 200 + ", de", offered) == "de"
    assert _remembered.cache_info().currsize == before
    assert negotiate("xx, de;q=0.123", offered) == "de"
    assert _remembered.cache_info().currsize == before + 1


@settings(deadline=None, derandomize=True)
@given(st.text())
def test_any_header_is_answered(header: str) -> None:
    assert lookup(parse_accept_language(header), ["en_US", "de"]) in {
        None,
        "en_US",
        "de",
    }
