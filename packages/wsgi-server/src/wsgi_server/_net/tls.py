"""A server-side TLS context from settings. Handshakes are the connection's business."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from wsgi_server.errors import ConfigError

if TYPE_CHECKING:
    from wsgi_server._config.settings import Settings


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """Returns the context that the settings ask for; None without `cert_file`.

    TLS 1.2 at least (RFC 8996), no compression, session tickets as Python has them. With
    `ca_file` every client must present a certificate that those authorities signed.
    Raises `ConfigError` naming the file and what is wrong with it.
    """
    if settings.cert_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, settings.cert_file, settings.key_file)
    if settings.ca_file is not None:
        _load_authorities(context, settings.ca_file)
    if settings.tls_ciphers is not None:
        try:
            context.set_ciphers(settings.tls_ciphers)
        except ssl.SSLError as exc:
            raise ConfigError(
                f"tls_ciphers = {settings.tls_ciphers}: no cipher matches"
            ) from exc
    return context


def _load_pair(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    try:
        context.load_cert_chain(cert, key, password=_refuse_password)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"key_file: {key or cert} does not belong to the certificate in {cert}"
            ) from exc
        _blame(cert, key, exc)
    except OSError as exc:
        missing = key if key is not None and not _readable(key) else cert
        name = "cert_file" if missing == cert else "key_file"
        raise ConfigError(f"{name}: cannot read {missing}: {exc.strerror}") from exc


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as exc:
        raise ConfigError(f"ca_file: {path} holds no PEM certificate") from exc
    except OSError as exc:
        raise ConfigError(f"ca_file: cannot read {path}: {exc.strerror}") from exc
    context.verify_mode = ssl.CERT_REQUIRED


def _blame(cert: str, key: str | None, exc: ssl.SSLError) -> None:
    """Says which of the two files is no good: OpenSSL names neither."""
    if not _holds(cert, "CERTIFICATE"):
        raise ConfigError(f"cert_file: {cert} holds no PEM certificate") from exc
    if not _holds(key or cert, "PRIVATE KEY"):
        name = "key_file" if key else "cert_file"
        raise ConfigError(f"{name}: {key or cert} holds no PEM private key") from exc
    raise ConfigError(
        f"cert_file, key_file: {cert} and {key or cert} cannot be used: "
        f"{exc.reason or exc}"
    ) from exc


def _holds(path: str, what: str) -> bool:
    with open(path, "rb") as file:
        return f"{what}-----".encode() in file.read()


def _readable(path: str) -> bool:
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False


def _refuse_password() -> str:
    # OpenSSL would ask on the terminal, in the middle of a start or a reload.
    raise ConfigError("key_file: the private key is encrypted; store it decrypted")
