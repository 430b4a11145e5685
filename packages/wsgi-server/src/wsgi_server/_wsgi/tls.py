"""What a request tells of the TLS session that it came through, by mod_ssl's names."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

#: Types of attributes by OpenSSL's long name; mod_ssl shows the short one, where they differ.
_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "givenName": "GN",
    "jurisdictionCountryName": "jurisdictionC",
    "jurisdictionLocalityName": "jurisdictionL",
    "jurisdictionStateOrProvinceName": "jurisdictionST",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "street",
    "surname": "SN",
    "userId": "UID",
}

#: What must be escaped to be part of a value (RFC 4514 2.4).
_SPECIAL: Final = re.compile(r'[,+"\\<>;]|\A[ #]| \Z')
#: And what mod_ssl escapes: control characters, and all that is not ASCII, by its octets.
_UNPRINTABLE: Final = re.compile(r"[^ -~]")

#: The tag of a UTF8String (X.680 8.4).
_UTF8_STRING: Final = b"\x0c"

Name = Iterable[Iterable[tuple[str, str]]]


class TlsSession(Protocol):
    """What is asked of a session."""

    def session_facts(self) -> tuple[str | None, tuple[str, str, int] | None]:
        """Protocol version and cipher (name, protocol, bits)."""

    def peer_certificate(self) -> Mapping[str, Any] | None:
        """The verified client certificate, decoded; None when there is none."""


def tls_environ(session: TlsSession) -> dict[str, Any]:
    """The variables of a session, and of the certificate that its client has shown.

    Raises `ssl.SSLError` for a certificate that cannot be read.
    """
    version, cipher = session.session_facts()
    environ: dict[str, Any] = {"HTTPS": "on", "SSL_PROTOCOL": version or ""}
    if cipher is not None:
        environ["SSL_CIPHER"] = cipher[0]
    try:
        certificate = session.peer_certificate()
    except ValueError as exc:
        raise ssl.SSLError(f"the client's certificate has no text: {exc}") from exc
    if certificate is not None:
        environ["SSL_CLIENT_VERIFY"] = "SUCCESS"
        environ["SSL_CLIENT_S_DN"] = distinguished_name(certificate.get("subject", ()))
        environ["SSL_CLIENT_I_DN"] = distinguished_name(certificate.get("issuer", ()))
        environ["SSL_CLIENT_M_SERIAL"] = certificate.get("serialNumber", "")
    return environ


def distinguished_name(name: Name) -> str:
    """A name as `ssl` decodes it, in the form of RFC 4514: the last part first, in ASCII.

    Nothing in a value can be taken for the end of it, or for another attribute.
    """
    parts = [[_attribute(kind, value) for kind, value in part] for part in name]
    return ",".join("+".join(reversed(part)) for part in reversed(parts))


def _attribute(kind: str, value: str) -> str:
    if kind[0].isdigit():
        # An object identifier without a name; what it stands for may be no text.
        return f"{kind}=#{_encoded(value.encode()).hex().upper()}"
    value = _SPECIAL.sub(r"\\\g<0>", value)
    return f"{_SHORT.get(kind, kind)}={_UNPRINTABLE.sub(_octets, value)}"


def _octets(match: re.Match[str]) -> str:
    return "".join(f"\\{octet:02X}" for octet in match[0].encode())


def _encoded(octets: bytes) -> bytes:
    """The octets of a text as a UTF8String in DER (X.690 8.1.3)."""
    length = len(octets)
    if length < 128:
        return _UTF8_STRING + bytes([length]) + octets
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return _UTF8_STRING + bytes([128 | len(size)]) + size + octets
