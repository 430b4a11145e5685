"""Fuzzes the HTTP/1.1 core with atheris: no crash, no second reading, nothing unbounded.

    python tests/fuzz/http11_fuzz.py -max_total_time=600 [CORPUS_DIRECTORY]

Arguments are libFuzzer's. Without a corpus it starts from the tables that the tests use.
The first byte of an input chooses the limits, the second where it is split.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["wsgi_server._http11"]):
    from wsgi_server._http11 import (
        Limits,
        ProtocolError,
        Request,
        RequestHeads,
        RequestReader,
        bodies,
        names,
    )

# The bytes between two chunks are known for large ones, which inputs are too short for.
vars(bodies)["LARGE"] = 1

#: More than any part of a body.
MUCH = 1 << 30
TESTS = Path(__file__).parent.parent
LIMITS = (
    Limits(),
    Limits(
        request_line=64,
        header_line=48,
        headers=4,
        header_bytes=180,
        chunk_line=16,
        trailer_bytes=32,
        body=10,
        underscores="refuse",
    ),
)
#: Those that have read all inputs before.
USED = {limits: RequestHeads(limits) for limits in LIMITS}
STATUSES = {400, 413, 414, 417, 431, 501}


class Reading:
    """One connection's reader, and everything it says, bodies joined."""

    def __init__(self, heads: RequestHeads) -> None:
        self.reader = RequestReader(heads)
        self.said: list[tuple[object, ...]] = []
        self.body = bytearray()
        self.trailers: dict[str, str] = {}

    def begin(self, request: Request) -> None:
        """A head was read."""
        check(request)
        self.said.append(told_by(request))
        if self.reader.in_body:
            self.trailers = self.reader.trailers()
        else:
            self.end()

    def end(self) -> None:
        """A request was read to its end."""
        self.said.append((bytes(self.body), self.trailers))
        self.body, self.trailers = bytearray(), {}

    def take(self, part: bytes) -> None:
        """A part of a body was read."""
        assert part or not self.reader.in_body, "an empty part"
        self.body += part
        if not self.reader.in_body:
            self.end()


def read(
    parts: list[bytes], limits: Limits, heads: RequestHeads | None = None
) -> list[tuple[object, ...]]:
    """Everything a reader says; at last why it stopped."""
    reading = Reading(heads or RequestHeads(limits))
    reader = reading.reader
    try:
        for part in parts:
            # As a connection does.
            if reader.in_body:
                reader.feed(part)
            else:
                request = reader.read_head(part)
                if request is None:
                    continue
                reading.begin(request)
            while True:
                if reader.in_body:
                    data = reader.read_body(MUCH)
                    if data is None:
                        break
                    reading.take(data)
                else:
                    request = reader.read_head()
                    if request is None:
                        break
                    reading.begin(request)
    except ProtocolError as exc:
        reading.said.append((bytes(reading.body), "refused", exc.status))
    else:
        bound = limits.header_bytes + limits.chunk_line + limits.trailer_bytes
        assert reader.buffered <= bound, reader.buffered
        reading.said.append((bytes(reading.body), "left", reader.buffered))
    if limits.body is not None:
        assert len(reading.body) <= limits.body, len(reading.body)
    return reading.said


def read_as_wanted(raw: bytes, limits: Limits, most: int) -> list[tuple[object, ...]]:
    """As `read`, with the parts of bodies passing by the buffer, `most` bytes at a time."""
    reading = Reading(RequestHeads(limits))
    reader = reading.reader
    rest = raw
    try:
        while True:
            if not reader.in_body:
                request = reader.read_head()
                if request is not None:
                    reading.begin(request)
                    continue
                count, fed = 0, len(rest)
            else:
                part = reader.read_body(most)
                if part is not None:
                    reading.take(part)
                    continue
                count, fed = reader.direct(most), reader.appetite()
            if not rest:
                break
            if count:
                received = rest[: count + reader.behind(count)]
                rest = rest[len(received) :]
                reader.pass_body(len(received[:count]), received[count:])
                reading.take(received[:count])
            else:
                reader.feed(rest[:fed])
                rest = rest[fed:]
    except ProtocolError as exc:
        reading.said.append((bytes(reading.body), "refused", exc.status))
    else:
        reading.said.append((bytes(reading.body), "left", reader.buffered))
    return reading.said


def told_by(request: Request) -> tuple[object, ...]:
    """What a request says, without what others note on it."""
    names = (n for n in Request.__slots__ if n != "familiar")
    return tuple(getattr(request, name) for name in names)


def check(request: Request) -> None:
    """What holds for every request that is let through."""
    headers = request.headers
    assert request.forwarding == set(filter(names.is_forwarding, headers))
    assert request.method
    assert request.method.isascii()
    assert not {"\r", "\n", "\0", " "} & set(request.target)
    assert "\0" not in request.path
    assert request.path.startswith("/") or request.target[0] != "/"
    assert not request.http11 or "HTTP_HOST" in headers
    for name, value in headers.items():
        assert name == name.upper(), name
        assert not {"\r", "\n", "\0"} & set(value), value
        assert value == value.strip(" \t"), value
    assert not (request.chunked and request.content_length is not None)
    assert request.chunked == ("HTTP_TRANSFER_ENCODING" in headers)
    assert (request.content_length is not None) == ("CONTENT_LENGTH" in headers)
    assert request.has_body == (request.chunked or bool(request.content_length))


def one_input(data: bytes) -> None:
    """Reads one input whole, in two parts, byte by byte, and with bytes behind it."""
    if len(data) < 2:
        return
    limits = LIMITS[data[0] % len(LIMITS)]
    place, raw = data[1], data[2:]
    whole = read([raw], limits)
    place = place * len(raw) // 255
    # What is remembered of this input, and of all before, changes nothing.
    for _ in range(3):
        again = read([raw], limits, USED[limits])
        assert again == whole, (again, whole)
    for parts in (
        [raw[:place], raw[place:]],
        [raw[at : at + 1] for at in range(len(raw))],
    ):
        again = read(parts, limits)
        assert again == whole, (again, whole)
    again = read_as_wanted(raw, limits, 1 + data[1] % 9)
    assert again == whole, (again, whole)
    if "refused" in whole[-1]:
        assert whole[-1][2] in STATUSES, whole[-1]
        behind = read([raw + b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n"], limits)
        assert behind == whole, (behind, whole)


def seeds(folder: Path) -> None:
    """Writes the tables as a corpus."""
    sys.path.insert(0, str(TESTS))
    from http_cases import LIMITED, REFUSED
    from http_readings import ACCEPTED

    rows = [case.data for case in (*REFUSED, *LIMITED)]
    rows += [case.data for case in ACCEPTED]
    rows += [case.control for case in (*REFUSED, *LIMITED)]
    for number, row in enumerate(rows):
        (folder / f"{number:04}").write_bytes(bytes([number % 2, number % 256]) + row)


def main() -> int:
    """Runs until libFuzzer has had enough; its exit status."""
    if any(not argument.startswith("-") for argument in sys.argv[1:]):
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
    # libFuzzer ends its process itself, so the corpus is taken away by another.
    with tempfile.TemporaryDirectory() as corpus:
        seeds(Path(corpus))
        command = [sys.executable, __file__, *sys.argv[1:], corpus]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
