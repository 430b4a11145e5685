"""Upload and download of the example, in process."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import pytest
import webob
from system.registry import Registry

FILE = "/v1/images/first/file"
CONTENT = bytes(range(256)) * 1000
OCTETS = {"Content_Type": "application/octet-stream"}


def download(registry: Registry, range_: str = "", **more: Any) -> webob.Response:
    headers: dict[str, Any] = {"Range": range_} if range_ else {}
    return registry.request("GET", FILE, **headers, **more)


def test_what_was_uploaded_is_downloaded(registry: Registry) -> None:
    registry.create("first")
    stored = registry.request("PUT", FILE, CONTENT, **OCTETS)
    assert stored.status_int == 200
    assert stored.json["size"] == len(CONTENT)
    assert stored.json["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert stored.json["status"] == "active"
    answer = download(registry)
    assert answer.status_int == 200
    assert answer.body == CONTENT
    assert answer.content_length == len(CONTENT)
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("offered", [True, False], ids=["file_wrapper", "iterator"])
@pytest.mark.parametrize(
    ("range_", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=65535-65536", 65535, 65537),
        ("bytes=1000-", 1000, 256000),
        ("bytes=-1", 255999, 256000),
        ("bytes=-999999", 0, 256000),
        ("bytes=255999-999999", 255999, 256000),
        ("bytes=0-", 0, 256000),
    ],
)
def test_ranges(
    registry: Registry, offered: bool, range_: str, start: int, stop: int
) -> None:
    registry.create("first", CONTENT)
    request = webob.Request.blank(FILE, headers={"Range": range_})
    if offered:
        request.environ["wsgi.file_wrapper"] = FileWrapper
    answer = registry.send(request)
    assert answer.status_int == 206
    assert answer.body == CONTENT[start:stop]
    assert answer.content_length == stop - start
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/256000"


@pytest.mark.parametrize("range_", ["bytes=256000-", "bytes=5-4", "bytes=-0"])
def test_ranges_that_cannot_be_given(registry: Registry, range_: str) -> None:
    registry.create("first", CONTENT)
    answer = download(registry, range_)
    assert answer.status_int == 416
    assert answer.content_type == "application/json"
    assert answer.headers["Content-Range"] == "bytes */256000"


@pytest.mark.parametrize("range_", ["lines=1-2", "bytes=0-1,5-6"])
def test_ranges_that_are_ignored(registry: Registry, range_: str) -> None:
    registry.create("first", CONTENT)
    answer = download(registry, range_)
    assert answer.status_int == 200
    assert answer.body == CONTENT
    assert download(registry, "bytes=255999-").status_int == 206


def test_a_range_of_another_version_gives_the_whole(registry: Registry) -> None:
    registry.create("first", CONTENT)
    etag = download(registry).headers["ETag"]
    assert download(registry, "bytes=0-9", If_Range='"other"').body == CONTENT
    assert download(registry, "bytes=0-9", If_Range=etag).body == CONTENT[:10]


def test_head_has_the_headers_and_no_body(registry: Registry) -> None:
    registry.create("first", CONTENT)
    answer = registry.request("HEAD", FILE)
    assert answer.status_int == 200
    assert answer.headers["Content-Length"] == "256000"
    assert answer.body == b""


def test_an_image_without_content_has_no_file(registry: Registry) -> None:
    registry.create("first")
    answer = download(registry)
    assert answer.status_int == 404
    assert "no content yet" in answer.text


def test_an_empty_upload_is_an_empty_image(registry: Registry) -> None:
    registry.create("first")
    stored = registry.request("PUT", FILE, b"", Content_Length="0")
    assert stored.status_int == 200
    assert stored.json["size"] == 0
    assert download(registry).body == b""
    assert download(registry, "bytes=0-").status_int == 416


def test_a_chunked_upload_is_read_to_its_end(registry: Registry) -> None:
    registry.create("first")
    stored = registry.send(chunked(CONTENT))
    assert stored.status_int == 200
    assert stored.json["sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_an_upload_without_a_length_is_refused(registry: Registry) -> None:
    registry.create("first")
    refused = registry.request("PUT", FILE)
    assert refused.status_int == 411
    assert refused.content_type == "application/json"


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Content-Range", "bytes 100-109/1000", 400),
        ("Content-Encoding", "gzip", 415),
    ],
)
def test_an_upload_that_is_not_the_content_itself_is_refused(
    registry: Registry, header: str, value: str, status: int
) -> None:
    registry.create("first")
    refused = registry.request("PUT", FILE, CONTENT, **{header: value})
    assert refused.status_int == status
    assert refused.content_type == "application/json"
    assert registry.files() == []
    assert registry.request("PUT", FILE, CONTENT).status_int == 200


def test_content_never_changes(registry: Registry) -> None:
    registry.create("first", CONTENT)
    refused = registry.request("PUT", FILE, b"other")
    assert refused.status_int == 409
    assert download(registry).body == CONTENT
    assert len(registry.files()) == 1


def test_the_first_of_two_uploads_at_once_wins(registry: Registry) -> None:
    registry.create("first")

    class Overtaken(io.BytesIO):
        """In whose middle another client's upload goes through."""

        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() == 0:
                assert registry.request("PUT", FILE, b"winner").status_int == 200
            return super().read(size)

    refused = registry.send(chunked(Overtaken(CONTENT)))
    assert refused.status_int == 409
    assert download(registry).body == b"winner"
    assert len(registry.files()) == 1


def test_an_image_removed_during_its_upload_leaves_no_file(registry: Registry) -> None:
    registry.create("first")

    class Removed(io.BytesIO):
        """In whose middle another client removes the image."""

        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() == 0:
                gone = registry.request("DELETE", "/v1/images/first")
                assert gone.status_int == 204
            return super().read(size)

    assert registry.send(chunked(Removed(CONTENT))).status_int == 404
    assert registry.files() == []


def test_a_broken_upload_leaves_nothing(registry: Registry) -> None:
    registry.create("first")

    class Broken(io.BytesIO):
        """A client that goes away after 64 KiB."""

        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise ConnectionResetError("gone")
            return super().read(size)

    assert registry.send(chunked(Broken(CONTENT))).status_int == 500
    assert registry.files() == []
    assert registry.request("PUT", FILE, CONTENT).status_int == 200


def test_a_body_shorter_than_announced_leaves_nothing(registry: Registry) -> None:
    registry.create("first")
    request = webob.Request.blank(FILE, method="PUT")
    request.body_file = io.BytesIO(b"short")
    request.content_length = 100
    assert registry.send(request).status_int == 400
    assert registry.files() == []


@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_the_limit_holds_to_the_byte(
    load: Callable[..., Registry], framing: str
) -> None:
    registry = load(max_image_size=1000)
    registry.create("first")

    def upload(content: bytes) -> webob.Response:
        if framing == "chunked":
            return registry.send(chunked(content))
        return registry.request("PUT", FILE, content)

    refused = upload(bytes(1001))
    assert refused.status_int == 413
    assert "1000" in refused.text
    assert registry.files() == []
    assert upload(bytes(1000)).status_int == 200


def test_another_media_type_is_refused(registry: Registry) -> None:
    registry.create("first")
    refused = registry.request("PUT", FILE, CONTENT, Content_Type="text/plain")
    assert refused.status_int == 415
    assert registry.request("PUT", FILE, CONTENT).status_int == 200


def test_a_download_survives_the_removal_of_its_image(registry: Registry) -> None:
    registry.create("first", CONTENT)
    environ = webob.Request.blank(FILE).environ
    body = registry.app(environ, lambda status, headers, exc_info=None: None)
    parts = iter(body)
    begun = next(parts)
    assert registry.request("DELETE", "/v1/images/first").status_int == 204
    assert begun + b"".join(parts) == CONTENT
    body.close()


def test_a_file_cut_short_ends_the_response(registry: Registry) -> None:
    registry.create("first", CONTENT)
    (file,) = (registry.state / "finished").iterdir()
    os.truncate(file, 1000)
    environ = webob.Request.blank(FILE).environ
    body = registry.app(environ, lambda status, headers, exc_info=None: None)
    with pytest.raises(EOFError, match="too early"):
        b"".join(body)
    body.close()


def test_only_abandoned_uploads_are_swept(
    load: Callable[..., Registry], tmp_path: Path
) -> None:
    arriving = load().state / "arriving"
    for name, age in (("old", 25 * 3600), ("young", 23 * 3600)):
        (arriving / name).write_bytes(b"part")
        then = (arriving / name).stat().st_mtime - age
        os.utime(arriving / name, (then, then))
    load()
    assert [path.name for path in arriving.iterdir()] == ["young"]


def chunked(content: bytes | io.BytesIO) -> webob.Request:
    """An upload as a server hands it on that has decoded the chunks."""
    source: Any = io.BytesIO(content) if isinstance(content, bytes) else content
    environ = {
        "wsgi.input": source,
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    return webob.Request.blank(FILE, environ, method="PUT")
