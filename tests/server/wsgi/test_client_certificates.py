"""What an application is told of its client's certificate, and that nobody can forge it."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import live
import pytest
import tools
from wsgi_server._wsgi.tls import distinguished_name, tls_environ

#: A subject as `openssl req -subj` has it, and what RFC 4514 makes of it.
SUBJECTS = {
    "/CN=client": "CN=client",
    "/C=DE/ST=Hessen/L=Ort/O=tests/OU=unit/CN=client": (
        "CN=client,OU=unit,O=tests,L=Ort,ST=Hessen,C=DE"
    ),
    "/DC=org/DC=example/UID=joe": "UID=joe,DC=example,DC=org",
    "/O=tests/CN=client,O=admins": r"CN=client\,O=admins,O=tests",
    "/O=tests/CN=client\\/O=admins": "CN=client/O=admins,O=tests",
    "/O=tests/CN=client\\+O=admins": r"CN=client\+O=admins,O=tests",
    "/O=tests/CN=client;O=admins": r"CN=client\;O=admins,O=tests",
    '/O=tests/CN=\\"client\\"': r"CN=\"client\",O=tests",
    "/O=tests/CN=a\\\\,O=admins": r"CN=a\\\,O=admins,O=tests",
    "/O=tests/CN=<client>": r"CN=\<client\>,O=tests",
    "/CN= client ": r"CN=\ client\ ",
    "/CN=#0C01": r"CN=\#0C01",
    "/CN=a#b c": "CN=a#b c",
    "/CN=a=b": "CN=a=b",
    "/CN=J\u00f6rg \u20ac": r"CN=J\C3\B6rg \E2\82\AC",
    "/CN=a\r\nX: b": r"CN=a\0D\0AX: b",
    "/CN=client\n": r"CN=client\0A",
    "/O=tests/CN=client+OU=unit": "CN=client+OU=unit,O=tests",
    "/CN=client/emailAddress=c@a.example": "emailAddress=c@a.example,CN=client",
    "/CN=client/serialNumber=7/GN=Jo/SN=Doe/street=Way/title=Dr": (
        "title=Dr,street=Way,SN=Doe,GN=Jo,serialNumber=7,CN=client"
    ),
    "/jurisdictionC=DE/jurisdictionST=H/jurisdictionL=O/CN=c": (
        "CN=c,jurisdictionL=O,jurisdictionST=H,jurisdictionC=DE"
    ),
}


class Authority:
    """Signs certificates of clients, by openssl."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._openssl = tools.need("openssl")
        self.run(*self.new("/O=tests, authority/CN=root"), "-x509", "-days", "2",
                 "-addext", "keyUsage=critical,keyCertSign", "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip

    def run(self, *args: str) -> str:
        return subprocess.run(
            [self._openssl, *args],
            cwd=self.home,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def new(self, subject: str) -> list[str]:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        return ["req", *curve, "-utf8", "-subj", subject]

    def sign(self, subject: str) -> tuple[Path, Path]:
        """A certificate and its key; the number of those before is their name."""
        name = str(len(list(self.home.glob("*.csr"))))
        (self.home / "ext").write_text("authorityKeyIdentifier=keyid\n")
        self.run(*self.new(subject), "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                 "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.pem")  # fmt: skip
        return self.home / f"{name}.pem", self.home / f"{name}.key"

    def shown(self, cert: Path) -> str:
        """The subject as openssl prints it, which is what mod_ssl does."""
        args = ("-noout", "-subject", "-nameopt", "RFC2253", "-in", str(cert))
        return self.run("x509", *args).removeprefix("subject=").removesuffix("\n")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module", params=live.FORMS)
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
) -> Iterator[live.LiveServer]:
    """`apps.exercise:app` on one worker, for clients with a certificate."""
    folder = tmp_path_factory.mktemp(request.param)
    cert, key = tools.self_signed(folder)
    server = live.start(
        folder,
        live.application_of(request.param, "apps.exercise:app"),
        *("--bind-host", "127.0.0.1", "--bind-port", "0"),
        *("--engine", live.engine_of(request.param), "--workers", "1"),
        *("--cert-file", str(cert), "--key-file", str(key)),
        *("--ca-file", str(authority.home / "ca.pem")),
    )
    with live.stopping([server]):
        yield server


def environ_of(site: live.LiveServer, pair: tuple[Path, Path]) -> dict[str, Any]:
    """What the application is told of a client with this certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(*pair)
    with contextlib.closing(
        http.client.HTTPSConnection(
            *site.address, timeout=live.PATIENCE, context=context
        )
    ) as client:
        client.request("GET", "/environ")
        found: dict[str, Any] = json.loads(client.getresponse().read())
    return found


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_is_told_as_openssl_and_mod_ssl_tell_it(
    site: live.LiveServer, authority: Authority, subject: str
) -> None:
    pair = authority.sign(subject)
    environ = environ_of(site, pair)
    assert environ["SSL_CLIENT_S_DN"] == SUBJECTS[subject]
    assert environ["SSL_CLIENT_S_DN"] == authority.shown(pair[0])
    assert environ["SSL_CLIENT_I_DN"] == r"CN=root,O=tests\, authority"
    assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert environ["SSL_CLIENT_M_SERIAL"].isalnum()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ((), ""),
        (((("commonName", ""),),), "CN="),
        (((("commonName", " "),),), r"CN=\ "),
        (((("commonName", "  "),),), r"CN=\ \ "),
        (((("commonName", "\0a"),),), r"CN=\00a"),
        (((("commonName", "\U0001f600"),),), r"CN=\F0\9F\98\80"),
        (((("x121Address", "1"),),), "x121Address=1"),
        # RFC 4514 2.4: what is behind an object identifier is the octets of its encoding.
        (((("1.2.3", "a,\u00f6"),),), "1.2.3=#0C04612CC3B6"),
        (((("1.2", "x" * 127),),), "1.2=#0C7F" + "78" * 127),
        (((("1.2", "x" * 128),),), "1.2=#0C8180" + "78" * 128),
        (((("1.2", "x" * 300),),), "1.2=#0C82012C" + "78" * 300),
    ],
)
def test_a_name_that_nobody_has_is_told_too(name: Any, text: str) -> None:
    found = distinguished_name(name)
    assert found == text
    assert found.isascii()


class Unreadable:
    """A session whose client shows a certificate with text that is none."""

    def session_facts(self) -> tuple[str, tuple[str, str, int]]:
        return "TLSv1.3", ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)

    def peer_certificate(self) -> dict[str, Any]:
        return {"subject": b"\xff".decode()}


def test_text_that_is_none_is_an_error_of_the_handshake() -> None:
    with pytest.raises(ssl.SSLError, match="no text"):
        tls_environ(Unreadable())
