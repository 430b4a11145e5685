"""`wsgi.input` is a binary file, whatever is asked of it and in which order."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from wsgi_server._wsgi.input import READ_AHEAD, BodyInput

SIZES = st.sampled_from(
    [None, -1, 0, 1, 7, READ_AHEAD - 1, READ_AHEAD, 2 * READ_AHEAD, 70_000]
)
ASKED = st.one_of(
    st.tuples(st.sampled_from(["read", "readline", "readlines"]), SIZES),
    st.tuples(st.sampled_from(["read1", "peek"]), st.integers(-1, 70_000)),
    st.tuples(st.sampled_from(["readinto", "readinto1"]), st.integers(1, 70_000)),
    st.tuples(st.sampled_from(["next", "wrapped"]), st.none()),
)


class Arriving:
    """A channel whose body arrives in pieces of the given sizes, again and again."""

    def __init__(self, body: bytes, sizes: list[int]) -> None:
        self._rest = memoryview(body)
        self._sizes = sizes

    def read_body(self, limit: int) -> bytes:
        self._sizes.append(size := self._sizes.pop(0))
        part = bytes(self._rest[: min(limit, size)])
        self._rest = self._rest[len(part) :]
        return part

    def read_body_into(self, buffer: memoryview) -> int:
        part = self.read_body(len(buffer))
        buffer[: len(part)] = part
        return len(part)


def ask(stream: Any, method: str, size: int | None) -> Any:
    """One call, and what a file has to say to it."""
    if method.startswith("readinto"):
        assert size is not None
        buffer = bytearray(size)
        count = getattr(stream, method)(buffer)
        return bytes(buffer[:count])
    if method == "next":
        return next(iter(stream), b"")
    if method == "wrapped":
        # What takes a binary file to read text from it leaves the file open.
        wrapped = io.TextIOWrapper(stream, "latin-1", newline="")
        line = wrapped.readline()
        rest = wrapped.read()
        wrapped.detach()
        return (line + rest).encode("latin-1")
    return getattr(stream, method)(size)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 9) | st.just(30_000), max_size=8),
    st.lists(st.integers(1, 40_000), min_size=1, max_size=5),
    st.lists(ASKED, max_size=12),
)
def test_it_reads_as_a_file(
    lines: list[int], sizes: list[int], asked: list[tuple[str, int | None]]
) -> None:
    body = b"\n".join(bytes(i % 9 + 48 for i in range(length)) for length in lines)
    stream = BodyInput(Arriving(body, sizes))
    whole = io.BytesIO(body)
    for method, size in asked:
        got = ask(stream, method, size)
        if method in ("read1", "readinto1", "peek"):
            # As much as is there, which is for the channel to say.
            left = whole.getbuffer()[whole.tell() :]
            assert left[: len(got)] == got
            assert got or not left or size == 0
            if method != "peek":
                whole.seek(len(got), io.SEEK_CUR)
        else:
            assert got == ask(whole, method, size)
    assert stream.read() == whole.read()
    assert stream.read() == b""


def test_its_lines_need_nobody_else_to_hold_on_to_it() -> None:
    lines = iter(BodyInput(Arriving(b"one\ntwo", [4])))
    assert list(lines) == [b"one\n", b"two"]


def test_a_large_piece_is_received_where_it_is_wanted() -> None:
    """And nothing is held back: what comes next is not asked for before it is wanted."""
    asked: list[int] = []

    class Watched(Arriving):
        def read_body_into(self, buffer: memoryview) -> int:
            asked.append(len(buffer))
            return super().read_body_into(buffer)

    stream = BodyInput(Watched(bytes(200_000), [50_000]))
    assert len(stream.read(65_536)) == 65_536
    assert asked == [65_536, 15_536]
