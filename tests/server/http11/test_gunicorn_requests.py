"""Judged by gunicorn: the requests of its source distribution, which no wheel contains.

`nox -s "upstream(gunicorn)"` fetches it and runs this module. Each request stands there
beside what gunicorn makes of it; the modules that say so are its own, and are run as they
are. Where we differ, the tables below say which sentence decides.
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any, Final

import pytest
from server.http11.reading import Outcome, read
from wsgi_server._connection.proxy_protocol import ProxyHeaderError, parse_proxy_header
from wsgi_server._http11 import Limits

SOURCE: Final = os.environ.get("GUNICORN_SOURCE")
if SOURCE is None:
    pytest.skip(
        'needs gunicorn\'s source distribution: nox -s "upstream(gunicorn)"',
        allow_module_level=True,
    )
TESTS: Final = Path(SOURCE, "tests")

#: For a status: the connection is closed without an answer.
CLOSED: Final = 0

#: Read by gunicorn, refused by us, with our status.
TAKEN: Final = {
    # RFC 9112 3.2.1: origin-form is a path and a query; a fragment is for the client.
    "005": 400,
    # RFC 9112 6.1: a coding that a server does not understand SHOULD be answered with 501;
    # and RFC 9112 7 knows no identity. gunicorn gives the application what it cannot decode.
    "025": 400,
    "025_line": 400,
    "029": 400,
    "030": 400,
    "rfc9112_smuggle_gzip_chunked_01": 400,
    "rfc9112_smuggle_te_identity_chunked_01": 400,
    # RFC 9112 5.1: white space before the colon MUST be answered with 400. By an option of
    # gunicorn's that we do not have.
    "028": 400,
    # RFC 9112 5.2: a server MUST refuse obs-fold or replace it. By an option as well.
    "compat_obs_fold": 400,
    "compat_obs_fold_huge": 400,
    # RFC 9110 4.2.4: user information in a URI of this scheme is an error.
    "rfc9112_target_absolute_userinfo_01": 400,
    # RFC 9112 8: a request with fewer bytes than its Content-Length is incomplete.
    "099": 400,
    # The PROXY protocol, 2: a receiver MUST NOT guess whether the header is there.
    "pp_03": CLOSED,
}
#: Read by both, in another way.
READ_OTHERWISE: Final = {
    # RFC 9110 9.1: the method token is case-sensitive. By an option of gunicorn's.
    "031compat",
    # RFC 3875 4.1.18: "-" and "_" give the same variable, so that one of them must go. By
    # an option that gunicorn calls dangerous.
    "040_compat",
}
#: Refused by gunicorn, read by us.
READ: Final = {
    # RFC 9110 9.1 and 5.6.2: a method is any token, short ones and "-" included.
    "003c",
    # RFC 9110 5.4: how much a server takes is its own decision. gunicorn counts all fields
    # together by its two limits, and takes 0 for a limit of its own.
    *("008", "012", "017", "limit_header_default_01"),
    # RFC 9110 6.5.1: trailers that may not be there may be ignored; they are dropped.
    "rfc9110_trailer_forbidden_cl_01",
    "rfc9110_trailer_forbidden_host_01",
    "rfc9110_trailer_forbidden_te_01",
    # No rule of HTTP: what proxies say of the scheme is believed, or not, elsewhere.
    "019",
}


def _their_module() -> Any:
    spec = importlib.util.spec_from_file_location("treq", TESTS / "treq.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TREQ: Final = _their_module()


def cases(kind: str) -> pytest.MarkDecorator:
    """Every request in a folder of the corpus, by name."""
    found = sorted(Path(TESTS, "requests", kind).glob("*.http"))
    assert len(found) > 40, f"this is no corpus: {TESTS}"
    return pytest.mark.parametrize(
        "path", [pytest.param(path, id=path.stem) for path in found]
    )


def ours(data: bytes, cfg: Any) -> Outcome:
    """Our reading with gunicorn's limits, up to where the connection ends."""
    if cfg.proxy_protocol != "off":
        try:
            header = parse_proxy_header(data)
        except ProxyHeaderError:
            return Outcome([], CLOSED)
        assert header is not None
        data = data[header[0] :]
    limits = Limits(
        request_line=cfg.limit_request_line,
        headers=cfg.limit_request_fields,
        header_line=cfg.limit_request_field_size or None,
        underscores="refuse" if cfg.header_map == "refuse" else "drop",
    )
    outcome = read([data], limits)
    if outcome.left or not all(message.ended for message in outcome.messages):
        # The connection ends in the middle of a request.
        outcome.status = outcome.status or 400
    for number, message in enumerate(outcome.messages, 1):
        if message.ended and not message.head["keep_alive"]:
            return Outcome(outcome.messages[:number])
    return outcome


def with_hosts(data: bytes, count: int) -> bytes:
    """The first `count` requests with a Host field, where they have none at all.

    RFC 9112 3.2: HTTP/1.1 without one MUST be answered with 400, which gunicorn does not.
    """
    if re.search(rb"\r\nhost:", data, re.IGNORECASE):
        return data
    line = rb"( HTTP/1\.[01]\r\n)"
    return re.sub(line, rb"\1Host: a.example\r\n", data, count=count)


def summary(expected: dict[str, Any]) -> tuple[str, str, dict[str, str], bytes]:
    """Gunicorn's reading of a request in our words."""
    fields: dict[str, str] = {}
    for name, value in expected["headers"]:
        key = name.replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        fields[key] = f"{fields[key]},{value}" if key in fields else value
    return (
        expected["method"],
        expected["uri"]["raw"],
        fields,
        # One of them says "" for no body.
        expected["body"] or b"",
    )


def own_summary(
    outcome: Outcome, *, added: bool
) -> list[tuple[str, str, dict[str, str], bytes]]:
    """Our reading, in the same form."""
    found = []
    for message in outcome.messages:
        fields = dict(message.head["headers"])
        if added:
            del fields["HTTP_HOST"]
        head = message.head
        found.append((head["method"], head["target"], fields, message.body))
    return found


@cases("valid")
def test_what_gunicorn_reads_we_read_alike_unless_listed(path: Path) -> None:
    found = TREQ.load_py(str(path.with_suffix(".py")))
    theirs = TREQ.request(str(path), found["request"])
    data = with_hosts(theirs.data, len(theirs.expect))
    outcome = ours(data, found["cfg"])
    if path.stem in TAKEN:
        assert outcome.status == TAKEN[path.stem]
        return
    assert outcome.status is None
    expected = [summary(request) for request in theirs.expect]
    same = own_summary(outcome, added=data != theirs.data) == expected
    assert same == (path.stem not in READ_OTHERWISE)
    if data != theirs.data and b" HTTP/1.1\r\n" in theirs.data.split(b"\r\n\r\n")[0]:
        assert ours(theirs.data, found["cfg"]).status == 400


@cases("invalid")
def test_what_gunicorn_refuses_we_refuse_unless_listed(path: Path) -> None:
    found = TREQ.load_py(str(path.with_suffix(".py")))
    data = with_hosts(TREQ.badrequest(str(path)).data, 1)
    refused = ours(data, found["cfg"]).status is not None
    assert refused == (path.stem not in READ)
