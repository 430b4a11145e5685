"""Content codings of request bodies (RFC 9110, 8.4), decoded up to a limit."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Collection, Mapping

from wsgi_api._i18n import Text
from wsgi_api.errors import BodyTooLarge, MalformedBody, UnsupportedContentEncoding

_UNDECODABLE = Text("The body cannot be decoded as %(coding)s.")


def asked_coding(header: str, known: Collection[str]) -> str | None:
    """Returns the coding of a ``Content-Encoding`` header, or ``None`` for none.

    :raises UnsupportedContentEncoding: it is not among ``known``, or there are several:
        each could multiply the work of the one before
    """
    codings = [each.strip(" \t").lower() for each in header.split(",")]
    codings = [each for each in codings if each not in ("", "identity")]
    if not codings:
        return None
    # RFC 9110 8.4.1.3
    coding = "gzip" if codings[0] == "x-gzip" else codings[0]
    if len(codings) > 1 or coding not in known:
        raise UnsupportedContentEncoding(", ".join(codings), known)
    return coding


def decoded(body: bytes, coding: str, limit: int) -> bytes:
    """Returns what a body stands for; no more than ``limit`` + 1 bytes are made of it.

    :param coding: one of :data:`CODINGS`
    :raises BodyTooLarge: it stands for more than ``limit`` bytes
    :raises MalformedBody: it is not in that coding, or ends early
    """
    try:
        data = CODINGS[coding](body, limit + 1)
    except (EOFError, OSError, zlib.error) as exc:
        raise MalformedBody(_UNDECODABLE.filled(coding=coding)) from exc
    if len(data) > limit:
        raise BodyTooLarge(limit)
    return data


def _gunzip(body: bytes, size: int) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
        return file.read(size)


def _inflate(body: bytes, size: int) -> bytes:
    # RFC 9110 8.4.1.2: deflate is the zlib format.
    decoder = zlib.decompressobj()
    data = decoder.decompress(body, size)
    if len(data) < size and (not decoder.eof or decoder.unused_data):
        raise EOFError
    return data


CODINGS: Mapping[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "deflate": _inflate,
}
