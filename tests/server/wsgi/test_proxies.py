"""Who the client is, where proxies stand in between."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import live
import pytest
from wsgi_server._config.addresses import PeerSet, parse_network
from wsgi_server._connection.proxy_protocol import (
    LONGEST,
    ProxyHeaderError,
    parse_proxy_header,
)
from wsgi_server._wsgi.forwarded import KNOWN_NODES, TrustedPeers, believe, strip

Start = Callable[..., live.LiveServer]
APP = "apps.exercise:app"
OURS = ipaddress.ip_network("10.0.0.0/8")
TRUSTED = TrustedPeers(PeerSet((OURS,)))


def said_by_a_proxy(**fields: str) -> dict[str, Any]:
    """The environ of a request from a proxy that adds these header fields."""
    return {
        "REMOTE_ADDR": "10.0.0.1",
        "REMOTE_PORT": "1",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "us",
        **{f"HTTP_{name}": value for name, value in fields.items()},
    }


@pytest.mark.parametrize(
    ("fields", "client", "scheme", "host"),
    [
        ({"X_FORWARDED_FOR": "1.2.3.4"}, "1.2.3.4", "http", "us"),
        ({"X_FORWARDED_FOR": "9.9.9.9, 1.2.3.4, 10.0.0.7"}, "1.2.3.4", "http", "us"),
        ({"X_FORWARDED_FOR": "10.0.0.8, 10.0.0.7"}, "10.0.0.8", "http", "us"),
        ({"X_FORWARDED_FOR": "2001:db8::1"}, "2001:db8::1", "http", "us"),
        ({"X_FORWARDED_FOR": "unknown"}, "10.0.0.1", "http", "us"),
        ({"X_FORWARDED_FOR": "1.2.3.999.1"}, "10.0.0.1", "http", "us"),
        ({"X_FORWARDED_PROTO": "https"}, "10.0.0.1", "https", "us"),
        ({"X_FORWARDED_PROTO": "gopher"}, "10.0.0.1", "http", "us"),
        ({"X_FORWARDED_HOST": "example.org"}, "10.0.0.1", "http", "example.org"),
        ({"X_FORWARDED_HOST": "a b"}, "10.0.0.1", "http", "us"),
        ({"FORWARDED": "for=1.2.3.4;proto=https;host=h"}, "1.2.3.4", "https", "h"),
        ({"FORWARDED": 'For="[2001:db8::1]:80"'}, "2001:db8::1", "http", "us"),
        ({"FORWARDED": 'for=9.9.9.9, for="1.2.3.4:5"'}, "1.2.3.4", "http", "us"),
        ({"FORWARDED": "for=_hidden;proto=https"}, "10.0.0.1", "https", "us"),
        ({"FORWARDED": 'for="a,b", for=1.2.3.4'}, "1.2.3.4", "http", "us"),
        ({"FORWARDED": 'for=10.0.0.9;by="a\\",b\\\\",, '}, "10.0.0.9", "http", "us"),
        ({"FORWARDED": 'for=1.2.3.4, for=10.0.0.9;by="a,b"'}, "1.2.3.4", "http", "us"),
        ({"FORWARDED": "; for=1.2.3.4 ; proto=https;"}, "1.2.3.4", "https", "us"),
        ({}, "10.0.0.1", "http", "us"),
    ],
)
def test_a_trusted_proxy_names_the_client(
    fields: dict[str, str], client: str, scheme: str, host: str
) -> None:
    environ = said_by_a_proxy(**fields)
    believe(environ, TRUSTED)
    assert environ["REMOTE_ADDR"] == client
    assert environ["wsgi.url_scheme"] == scheme
    assert environ["HTTP_HOST"] == host
    strip(environ)
    assert not [name for name in environ if "FORWARDED" in name]


#: Texts of one address, and that address as it is shown.
NODES = [
    ("203.0.113.7", "203.0.113.7"),
    ("203.0.113.7:4711", "203.0.113.7"),
    ("203.0.113.7:_hidden", "203.0.113.7"),
    ("[203.0.113.7]:4711", "203.0.113.7"),
    ("::ffff:203.0.113.7", "203.0.113.7"),
    ("::FFFF:203.0.113.7", "203.0.113.7"),
    ("::ffff:cb00:7107", "203.0.113.7"),
    ("0:0:0:0:0:ffff:203.0.113.7", "203.0.113.7"),
    ("[::ffff:203.0.113.7]", "203.0.113.7"),
    ("[::ffff:203.0.113.7]:4711", "203.0.113.7"),
    ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
    ("2001:0db8::0001", "2001:db8::1"),
    ("[2001:DB8::1]", "2001:db8::1"),
    ("[2001:DB8::1]:443", "2001:db8::1"),
    ("[2001:db8::1]:_x.y-z", "2001:db8::1"),
    ("fe80::1%eth0", "fe80::1"),
    ("[fe80::1%25eth0]:443", "fe80::1"),
    ("::1", "::1"),
]
#: Texts that name nobody.
NOBODY = [
    "unknown", "_hidden", "_1.2.3.4", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4:x",
    "1.2.3.4%eth0", "[1.2.3.4", "1.2.3.4]", "[::1]443", "[]", "[:]:1", ":", "::1::", "12345::",
    "::ffff:1.2.3.999", "2001:db8:0:0:0:0:0:1:443", "[_x]", "a.example",
]  # fmt: skip


def quoted(text: str) -> str:
    """A quoted-string of HTTP with an escape before everything that is no letter."""
    return '"' + re.sub(r"(\W)", r"\\\1", text) + '"'


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("X_FORWARDED_FOR", "{}"),
        ("X_FORWARDED_FOR", "6.6.6.6 ,\t{} "),
        ("X_FORWARDED_FOR", '"{}"'),
        ("FORWARDED", "for={}"),
        ("FORWARDED", 'For="{}";proto=http'),
        ("FORWARDED", "for=6.6.6.6, FOR={} ; by=_x"),
        ("FORWARDED", "for=ESCAPED"),
    ],
)
@pytest.mark.parametrize(
    ("text", "client"), [*NODES, *((text, "10.0.0.1") for text in NOBODY)]
)
def test_every_text_of_an_address_is_read_and_shown_in_one_form(
    name: str, form: str, text: str, client: str
) -> None:
    field = form.replace("ESCAPED", quoted(text)).replace("{}", text)
    environ = said_by_a_proxy(**{name: field})
    believe(environ, TRUSTED)
    assert environ["REMOTE_ADDR"] == client


@pytest.mark.parametrize(
    ("allowed", "proxy"),
    [
        ("203.0.113.0/24", "::ffff:203.0.113.7"),
        ("::ffff:203.0.113.0/120", "203.0.113.7"),
        ("::FFFF:203.0.113.7", "[::ffff:cb00:7107]:99"),
        ("2001:db8::/32", "[2001:DB8::7]:99"),
        ("fe80::/10", "fe80::7%eth0"),
    ],
)
def test_a_proxy_in_the_middle_is_known_by_every_text_of_its_address(
    allowed: str, proxy: str
) -> None:
    trusted = TrustedPeers(PeerSet((OURS, parse_network(allowed))))
    for fields in (
        {"X_FORWARDED_FOR": f"6.6.6.6, 1.2.3.4, {proxy}"},
        {"FORWARDED": f'for=6.6.6.6, for=1.2.3.4, for="{proxy}"'},
    ):
        environ = said_by_a_proxy(**fields)
        believe(environ, trusted)
        assert environ["REMOTE_ADDR"] == "1.2.3.4"


def test_peers_that_were_asked_for_are_kept_up_to_a_number() -> None:
    trusted = TrustedPeers(PeerSet((OURS,)))
    for number in range(2 * KNOWN_NODES + 2):
        last = number & 255
        host = f"{10 + number % 2}.0.{number >> 8}.{last}"
        assert trusted[host] == trusted[host] == (number % 2 == 0)
        assert len(trusted) <= KNOWN_NODES
    assert not trusted[""]
    assert TrustedPeers(PeerSet(unix=True))[""]


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        # What holds more than mapped addresses stays what it is.
        ("::/0", "::/0"),
        ("::fffe:0:0/95", "::fffe:0:0/95"),
        ("10.0.0.1", "10.0.0.1/32"),
    ],
)
def test_a_network_of_mapped_addresses_is_one_of_ipv4(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize("text", ["10.0.0.1/8", "::ffff:10.0.0.1/104", "x"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        parse_network(text)


@pytest.mark.forks
@pytest.mark.parametrize(
    ("allowed", "client"),
    [
        ("127.0.0.1", "203.0.113.7"),
        ("::ffff:127.0.0.0/104", "203.0.113.7"),
        ("10.0.0.0/8", "127.0.0.1"),
    ],
)
def test_a_client_of_ipv4_on_a_listener_of_ipv6_is_shown_as_ipv4(
    live_server: Start, allowed: str, client: str
) -> None:
    server = live_server(APP, "--bind", "[::]:0", "--forwarded-allow", allowed)
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(
            b"GET /environ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            b"X-Forwarded-For: [::FFFF:203.0.113.7]:99\r\n\r\n"
        )
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["REMOTE_ADDR"] == client
    # The log of requests shows the same.
    server.wait_for("its line", lambda: "/environ" in server.output())
    assert server.output().startswith(f"{client} ")


@pytest.mark.forks
def test_a_balancer_of_ipv4_on_a_listener_of_ipv6_is_known(
    live_server: Start, tmp_path: Path
) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\nproxy_protocol = 127.0.0.0/8\n")
    server = live_server(APP, "--bind", "[::]:0", "--config-file", str(conf))
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"PROXY TCP6 ::ffff:1.2.3.4 ::ffff:5.6.7.8 99 80\r\n")
        sock.sendall(b"GET /environ HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["REMOTE_ADDR"] == "1.2.3.4"


@pytest.mark.parametrize(
    "sent",
    ['for=6.6.6.6;by="', 'for="', 'for=6.6.6.6;by="\\"', 'for="6.6.6.6";by=",",""'],
)
@pytest.mark.parametrize(
    ("appended", "client"),
    [
        ('for="203.0.113.9:4711"', "203.0.113.9"),
        ('for="[2001:db8::1]:80";by="a,b"', "2001:db8::1"),
        # A proxy of ours that passes on what nobody can read.
        ("for=10.0.0.9", "10.0.0.9"),
    ],
)
def test_a_quote_left_open_hides_nothing_behind_it(
    sent: str, appended: str, client: str
) -> None:
    environ = said_by_a_proxy(FORWARDED=f"{sent}, {appended}")
    believe(environ, TRUSTED)
    assert environ["REMOTE_ADDR"] == client


@pytest.mark.parametrize(
    "text",
    [
        '"' + '\\"' * 200_000,
        'for="' + '\\"' * 200_000,
        "a" * 400_000,
        'a="\\"' * 100_000,
        '"' + "," * 400_000,
        " " * 400_000 + "x",
    ],
    ids=["quotes", "value", "name", "values", "commas", "blanks"],
)
def test_a_field_of_any_kind_takes_no_longer_than_its_length_allows(text: str) -> None:
    environ = said_by_a_proxy(FORWARDED=f"for=1.2.3.4, {text}")
    started = time.process_time()
    believe(environ, TRUSTED)
    assert time.process_time() - started < 5
    assert environ["REMOTE_ADDR"] == "10.0.0.1"


@pytest.mark.parametrize("name", ["FOR", "PROTO", "HOST"])
def test_of_two_families_of_fields_neither_is_believed(
    caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """A proxy that sets one passes the other on, and its client wrote that."""
    both = {"FORWARDED": "for=6.6.6.6;proto=https;host=evil", "X_FORWARDED_PORT": "1"}
    environ = said_by_a_proxy(**both, **{f"X_FORWARDED_{name}": "https"})
    before = said_by_a_proxy()
    with caplog.at_level(logging.DEBUG):
        believe(environ, TRUSTED)
    assert environ == before
    assert "10.0.0.1 sent both Forwarded and X-Forwarded-*" in caplog.text


@pytest.mark.forks
def test_of_strangers_every_forwarding_field_is_removed(live_server: Start) -> None:
    names = ["For", "User", "Client-Cert", "Scheme"]
    fields = [*(f"X-Forwarded-{name}" for name in names), "X-Real-IP", "Forwarded"]
    for options in ((), ("--forwarded-allow", "10.0.0.0/8")):
        server = live_server(APP, *options)
        for field in fields:
            answer = server.get(
                "/environ", **{field.replace("-", "_"): "x", "X_A": "b"}
            )
            environ = json.loads(answer.body)
            assert "HTTP_" + field.upper().replace("-", "_") not in environ
            assert environ["HTTP_X_A"] == "b"


@pytest.mark.forks
@pytest.mark.parametrize(("allowed", "client"), [("127.0.0.0/8", "1.2.3.4"),
                                                 ("10.0.0.0/8", "127.0.0.1")])  # fmt: skip
def test_only_listed_proxies_are_believed(
    live_server: Start, allowed: str, client: str
) -> None:
    server = live_server(APP, "--forwarded-allow", allowed)
    environ = json.loads(server.get("/environ", X_Forwarded_For="1.2.3.4").body)
    assert environ["REMOTE_ADDR"] == client


SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = bytes([1, 2, 3, 4, 5, 6, 7, 8]) + struct.pack("!HH", 1000, 80)
V6 = ipaddress.ip_address("2001:db8::1").packed * 2 + struct.pack("!HH", 1000, 80)


MAPPED = ipaddress.ip_address("::ffff:1.2.3.4").packed * 2 + struct.pack(
    "!HH", 1000, 80
)


def version_2(kind: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", kind, family, len(body)) + body


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n", ("1.2.3.4", "1000")),
        (b"PROXY TCP6 2001:db8::1 ::1 1000 80\r\n", ("2001:db8::1", "1000")),
        (b"PROXY TCP6 2001:DB8:0::1 ::1 1000 80\r\n", ("2001:db8::1", "1000")),
        (b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1000 80\r\n", ("1.2.3.4", "1000")),
        (b"PROXY TCP6 ::FFFF:0102:0304 ::1 1000 80\r\n", ("1.2.3.4", "1000")),
        (version_2(0x21, 0x21, MAPPED), ("1.2.3.4", "1000")),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ::1 1 2\r\n", None),
        (version_2(0x21, 0x11, V4), ("1.2.3.4", "1000")),
        (version_2(0x21, 0x11, V4 + b"tlv"), ("1.2.3.4", "1000")),
        (version_2(0x21, 0x21, V6), ("2001:db8::1", "1000")),
        (version_2(0x20, 0x00, b""), None),
        (version_2(0x21, 0x31, b"x" * 216), None),
    ],
)
def test_a_proxy_header_is_read_at_every_split(
    header: bytes, peer: tuple[str, str] | None
) -> None:
    for end in range(1, len(header)):
        assert parse_proxy_header(header[:end]) is None
    assert parse_proxy_header(header) == (len(header), peer)
    assert parse_proxy_header(header + b"GET / HT") == (len(header), peer)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP4 ::ffff:1.2.3.4 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 70000 80\r\n",
        b"PROXY TCP4 1.2.3.999 5.6.7.8 1 2\r\n",
        b"PROXY UNKNOWN " + b"x" * 200,
        version_2(0x11, 0x11, V4),
        version_2(0x21, 0x11, V4[:8]),
        version_2(0x21, 0x21, V6[:30]),
        version_2(0x21, 0x31, b"x" * LONGEST),
    ],
)
def test_what_is_no_proxy_header_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse_proxy_header(data)


@pytest.mark.forks
def test_a_listed_balancer_must_begin_with_its_header(
    live_server: Start, tmp_path: Path
) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text("[DEFAULT]\nproxy_protocol = 127.0.0.0/8\n")
    server = live_server(APP, "--config-file", str(conf))
    request = b"GET /environ HTTP/1.0\r\n\r\n"
    for header in (b"PROXY TCP4 1.2.3.4 5.6.7.8 99 80\r\n", version_2(0x21, 0x11, V4)):
        answer = server.exchange(header + request)
        environ = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert environ["REMOTE_ADDR"] == "1.2.3.4"
    # Closing with the request unread resets the connection.
    with pytest.raises(ConnectionResetError):
        server.exchange(request)
    assert "no PROXY header" in server.log()
    with server.connect() as sock:
        sock.sendall(b"PROXY TCP4 1.2.3.4 ")
        sock.sendall(b"5.6.7.8 99 80\r\n" + request)
        assert b"".join(iter(lambda: sock.recv(4096), b"")).startswith(b"HTTP/1.1 200")
