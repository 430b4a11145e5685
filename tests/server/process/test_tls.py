"""TLS: contexts that work, pairs that do not, renewal by reload."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import live
import pytest
import tools
from oslo_config import cfg
from server.process.support import Service, both_engines, reload
from server.process.watching import Watched
from wsgi_server._config.settings import Settings
from wsgi_server._net.certificate import certificate_end
from wsgi_server._net.tls import server_context
from wsgi_server.errors import ConfigError
from wsgi_server.opts import register_opts

Make = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes certificates, signed by one authority: `make(name)` gives (cert, key)."""
    home = tmp_path_factory.mktemp("pki")

    program = tools.need("openssl")

    def openssl(*args: str) -> None:
        subprocess.run([program, *args], cwd=home, check=True, capture_output=True)

    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=test authority",
            "-addext", "keyUsage=critical,keyCertSign", "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip

    def make(name: str) -> tuple[Path, Path]:
        cert, key = home / f"{name}.pem", home / f"{name}.key"
        if not cert.exists():
            (home / "ext").write_text(
                "subjectAltName=IP:127.0.0.1,DNS:localhost\n"
                # Python 3.13 and later insist on it (RFC 5280 4.2.1.1).
                "authorityKeyIdentifier=keyid\n"
            )
            openssl(*new, "-subj", f"/O=tests/CN={name}", "-keyout", key.name,
                    "-out", f"{name}.csr")  # fmt: skip
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey",
                    "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext",
                    "-out", cert.name)  # fmt: skip
        return cert, key

    return make


def ca_of(pair: tuple[Path, Path]) -> Path:
    return pair[0].parent / "ca.pem"


def settings(**values: object) -> Settings:
    conf = cfg.ConfigOpts()
    register_opts(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    texts = {k: str(v) for k, v in values.items()}
    return Settings.from_conf(conf, default_port=0, **texts)


def test_no_certificate_means_no_tls() -> None:
    assert server_context(settings()) is None


def test_the_context_is_a_servers_and_refuses_old_protocols(authority: Make) -> None:
    cert, key = authority("server")
    context = server_context(settings(cert_file=cert, key_file=key))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    assert context.protocol is ssl.PROTOCOL_TLS_SERVER


def test_a_ca_file_makes_client_certificates_compulsory(authority: Make) -> None:
    cert, key = pair = authority("server")
    context = server_context(
        settings(cert_file=cert, key_file=key, ca_file=ca_of(pair))
    )
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_key_of_another_certificate_is_named(authority: Make) -> None:
    cert, _ = authority("server")
    _, other = authority("other")
    with pytest.raises(ConfigError, match=r"key_file: \S+other\.key does not belong"):
        server_context(settings(cert_file=cert, key_file=other))


def test_garbage_is_named(authority: Make, tmp_path: Path) -> None:
    cert, key = authority("server")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    with pytest.raises(ConfigError, match=r"cert_file: \S+ holds no PEM certificate"):
        server_context(settings(cert_file=garbage, key_file=key))
    with pytest.raises(ConfigError, match=r"key_file: \S+ holds no PEM private key"):
        server_context(settings(cert_file=cert, key_file=garbage))
    with pytest.raises(ConfigError, match=r"ca_file: \S+ holds no PEM certificate"):
        server_context(settings(cert_file=cert, key_file=key, ca_file=garbage))
    with pytest.raises(ConfigError, match=r"cert_file: \S+ holds no PEM private key"):
        server_context(settings(cert_file=cert))


def test_an_encrypted_key_is_refused_instead_of_asked_for(
    authority: Make, tmp_path: Path
) -> None:
    cert, key = authority("server")
    locked = tmp_path / "locked.key"
    subprocess.run(
        [
            tools.need("openssl"),
            "pkcs8",
            "-topk8",
            "-in",
            key,
            "-out",
            locked,
            "-passout",
            "pass:x",
        ],
        check=True,
        capture_output=True,
    )
    with pytest.raises(ConfigError, match="the private key is encrypted"):
        server_context(settings(cert_file=cert, key_file=locked))


def test_the_ciphers_are_those_of_the_option(authority: Make) -> None:
    cert, key = authority("server")
    only = "ECDHE-ECDSA-AES128-GCM-SHA256"
    context = server_context(settings(cert_file=cert, key_file=key, tls_ciphers=only))
    assert context is not None
    # Those of TLS 1.3 are not chosen by this list.
    offered = {c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"}
    assert offered == {only}


def test_a_cipher_list_without_a_cipher_is_refused(authority: Make) -> None:
    cert, key = authority("server")
    with pytest.raises(ConfigError, match="tls_ciphers = nonsense: no cipher matches"):
        server_context(settings(cert_file=cert, key_file=key, tls_ciphers="nonsense"))


def get(
    address: tuple[str, int], ca: Path, client: tuple[Path, Path] | None = None
) -> tuple[dict[str, Any], str]:
    """What the application says, and the subject of the certificate that was shown."""
    context = ssl.create_default_context(cafile=str(ca))
    if client is not None:
        context.load_cert_chain(*client)
    with contextlib.closing(
        http.client.HTTPSConnection(*address, context=context, timeout=live.PATIENCE)
    ) as connection:
        connection.request("GET", "/")
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown = connection.sock.getpeercert()
        body = json.loads(connection.getresponse().read())
    assert shown is not None
    subject: Any = shown["subject"]
    return body, dict(pair for part in subject for pair in part)["commonName"]


@pytest.mark.forks
def test_a_reload_picks_up_a_renewed_pair_and_old_connections_live_on(
    service: Service, authority: Make
) -> None:
    old, new = authority("server"), authority("renewed")
    cert, key = service.directory / "live.pem", service.directory / "live.key"
    cert.write_bytes(old[0].read_bytes())
    key.write_bytes(old[1].read_bytes())
    service.configure(cert_file=str(cert), key_file=str(key), drain_idle_timeout=60)
    server = service.start()
    assert server.url.startswith("https://")
    answer, subject = get(server.address, ca_of(old))
    assert (answer["scheme"], subject) == ("https", "server")

    context = ssl.create_default_context(cafile=str(ca_of(old)))
    with contextlib.closing(
        http.client.HTTPSConnection(
            *server.address, context=context, timeout=live.PATIENCE
        )
    ) as kept:
        kept.request("GET", "/")
        kept.getresponse().read()
        cert.write_bytes(new[0].read_bytes())
        key.write_bytes(new[1].read_bytes())
        reload(server)
        # Until it hears of its retirement, an old worker may accept one more.
        server.wait_for(
            "the renewed certificate",
            lambda: get(server.address, ca_of(old))[1] == "renewed",
        )
        kept.request("GET", "/")
        last = kept.getresponse()
        last.read()
        assert last.status == 200


@pytest.mark.forks
def test_a_broken_pair_is_refused_at_reload_and_the_old_one_is_kept(
    service: Service, authority: Make
) -> None:
    cert, key = authority("server")
    service.configure(cert_file=str(cert), key_file=str(key))
    server = service.start()
    service.configure(key_file=str(authority("other")[1]))
    reload(server)
    assert "reload failed: key_file: " in server.log()
    assert get(server.address, ca_of((cert, key)))[1] == "server"


@pytest.mark.forks
@pytest.mark.parametrize("workers", ["0", "1"])
def test_the_end_of_the_certificate_is_shown_also_after_its_renewal(
    watched: Callable[..., Watched], tmp_path: Path, workers: str
) -> None:
    cert, key = tools.self_signed(tmp_path)
    one = watched(
        *("apps.hello:app", "--workers", workers),
        *("--cert-file", str(cert), "--key-file", str(key)),
    )

    def shown() -> float:
        name = "wsgi_server_tls_certificate_not_after_timestamp_seconds"
        in_metrics = one.total(name, listener=one.server.url)
        (service,) = one.status()["services"]
        assert [row["not_after"] for row in service["listeners"]] == [in_metrics]
        return in_metrics

    assert shown() == end_of(cert)
    assert "2 days" in one.page()
    renewed = tools.self_signed(tmp_path, days=400)
    assert end_of(cert) != shown()
    one.control.post("/reload")
    assert shown() == end_of(renewed[0])
    assert "400 days" in one.page()


@pytest.mark.parametrize("days", [1, 9000, 40000])
def test_the_end_of_a_certificate_is_read_as_openssl_reads_it(
    tmp_path: Path, days: int
) -> None:
    """Years of two digits, of four, and beyond what RFC 5280 lets two say."""
    cert, _ = tools.self_signed(tmp_path, days=days)
    assert certificate_end(str(cert)) == end_of(cert)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    ],
)
def test_an_end_that_cannot_be_made_out_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cert.pem"
    file.write_text(text)
    assert certificate_end(str(file)) is None
    assert certificate_end(str(tmp_path / "no.pem")) is None


def end_of(cert: Path) -> float:
    """What openssl says."""
    run = subprocess.run(
        [tools.need("openssl"), "x509", "-in", cert, "-noout", "-enddate"],
        check=True,
        capture_output=True,
        text=True,
    )
    return ssl.cert_time_to_seconds(run.stdout.strip().partition("=")[2])


@pytest.mark.forks
def test_client_certificates_are_required_and_shown_to_the_application(
    service: Service, authority: Make
) -> None:
    pair = authority("server")
    service.configure(
        cert_file=str(pair[0]), key_file=str(pair[1]), ca_file=str(ca_of(pair))
    )
    server = service.start()
    with pytest.raises(OSError):  # noqa: PT011  an alert or a reset, as the kernel likes
        get(server.address, ca_of(pair))
    answer, _ = get(server.address, ca_of(pair), authority("client"))
    assert answer["client"] == "CN=client,O=tests"


@pytest.mark.forks
@both_engines
def test_500_silent_clients_on_the_tls_port_delay_nobody(
    service: Service, authority: Make
) -> None:
    pair = authority("server")
    # Whoever waited for one of them would wait until the test has given up.
    service.configure(
        cert_file=str(pair[0]), key_file=str(pair[1]), workers=1, header_timeout=300
    )
    server = service.start()
    with contextlib.ExitStack() as silent:
        for _ in range(500):
            silent.enter_context(socket.create_connection(server.address))
        assert get(server.address, ca_of(pair))[1] == "server"


@pytest.mark.forks
@both_engines
def test_a_client_that_never_shakes_hands_is_let_go_at_header_timeout(
    service: Service, authority: Make
) -> None:
    pair = authority("server")
    service.configure(
        cert_file=str(pair[0]), key_file=str(pair[1]), workers=1, header_timeout=3
    )
    server = service.start()
    with server.connect() as silent:
        assert silent.recv(1) == b""
    assert get(server.address, ca_of(pair))[1] == "server"
