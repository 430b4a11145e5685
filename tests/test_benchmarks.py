"""The benchmarks' own parts that can be wrong without anybody noticing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from wsgi_server._http11 import Limits, RequestHeads, RequestReader

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield
        for name, module in list(sys.modules.items()):
            place = getattr(module, "__file__", None)
            if place and Path(place).parent == BENCHMARKS:
                del sys.modules[name]


def traffic() -> ModuleType:
    import traffic

    return traffic


@pytest.mark.parametrize("name", ["varied", "stack", "mixed", "example", "heat"])
def test_the_requests_are_whole_and_no_two_are_alike(name: str) -> None:
    requests = traffic().requests(name)
    assert len({*requests}) == len(requests)
    reader = RequestReader(RequestHeads(Limits()))
    for sent in requests[:200]:
        assert b"\0" not in sent
        reader.feed(sent)
        request = reader.read_head()
        assert request is not None
        head, _, body = sent.partition(b"\r\n\r\n")
        assert head.count(b"\r\n") >= 10
        assert f"Content-Length: {len(body)}".encode() in head or not body
        reader = RequestReader(RequestHeads(Limits()))


def test_the_pages_are_what_the_results_say() -> None:
    import results
    import tables

    data = json.loads(results.COMMITTED.read_text())
    for page in tables.PAGES:
        text = page.read_text("utf-8")
        assert tables.filled(text, data) == text, "run: nox -s bench -- charts"


def test_a_percentile_is_a_value_that_was_seen() -> None:
    import bursts

    values = [float(n) for n in range(1000)][::-1]
    assert bursts.percentile(values, 50) == 500
    assert bursts.percentile(values, 99.9) == 999
    assert bursts.percentile([1.0], 99.9) == 1
