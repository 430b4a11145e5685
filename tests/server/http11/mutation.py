"""Valid requests made worse, for hypothesis."""

from __future__ import annotations

from http_cases import LIMITED, REFUSED
from http_readings import ACCEPTED
from hypothesis import strategies as st

VALID = [case.data for case in ACCEPTED] + [case.control for case in REFUSED + LIMITED]
SHORT = [data for data in VALID if len(data) < 300]

#: What attacks on the framing are made of.
SPICES = [
    *(bytes([number]) for number in b'\0\t\n\r "#%+,-0159:;=AFafx\x7f\x80\xff'),
    *(b"\r\n", b"\r\n\r\n", b"\n\n", b"\r\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length", b"Transfer-Encoding: chunked\r\n"),
    *(b"5\r\nhello\r\n5\r\nhello\r\n", b"\r\n3\r\nabc\r\n3\r\nabc"),
    *(b"Host: b\r\n", b"chunked", b"HTTP/1.1", b"HTTP/1.0", b"GET /x HTTP/1.1\r\n"),
    *(
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
    ),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One to three valid requests with up to four places made worse."""
    data = b"".join(draw(st.lists(st.sampled_from(SHORT), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 6)))
        spice = draw(st.sampled_from(SPICES) | st.binary(max_size=3) | st.just(b""))
        data = data[:start] + spice + data[end:]
    return data
