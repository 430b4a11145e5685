"""The bytes of images: upload and download, never held in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import webob
import webob.exc
from wsgi_api import JSONRequestDeserializer, JSONResponseSerializer, Request
from wsgi_api.errors import BodyTooLarge

from .catalogue import Catalogue, Content, ContentExists
from .errors import as_http_errors
from .files import CHUNK, FilePart, Files, Source
from .images import view

MEDIA_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Download:
    """A part of an image, from `start` to before `stop`, and its bytes."""

    content: Content
    body: Iterable[bytes]
    start: int
    stop: int
    partial: bool


class ContentController:
    """The actions on the content of images."""

    def __init__(self, catalogue: Catalogue, files: Files) -> None:
        self._catalogue = catalogue
        self._files = files

    def upload(self, req: webob.Request, name: str, source: Source) -> dict[str, Any]:
        """Store the body of the request as the image's content."""
        with as_http_errors():
            # Known before the body is read; `attach` finds out again, for good.
            if self._catalogue.get(name).content is not None:
                raise ContentExists(f"{name} has content already")
            content = self._files.receive(source)
            try:
                image = self._catalogue.attach(name, content)
            except BaseException:
                self._files.remove(content)
                raise
        return view(req, image)

    def download(self, req: Request, name: str) -> Download:
        """Open the content at the range that is asked for."""
        with as_http_errors():
            content = self._catalogue.get(name).content
        if content is None:
            raise webob.exc.HTTPNotFound(detail=f"{name} has no content yet")
        start, stop, partial = _wanted(req, content)
        try:
            file = self._files.open(content)
        except FileNotFoundError as exc:
            # Deleted since it was looked up.
            raise webob.exc.HTTPNotFound from exc
        file.seek(start)
        wrap = req.environ.get("wsgi.file_wrapper")
        if wrap is not None and stop == content.size:
            # PEP 3333: from where the file stands to its end, by the kernel if it can.
            body = wrap(file, CHUNK)
        else:
            body = FilePart(file, stop - start)
        return Download(content, body, start, stop, partial)


class ContentDeserializer(JSONRequestDeserializer):
    """Hands the body of an upload on as a stream."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def upload(self, request: Request) -> dict[str, Any]:
        """Check what the headers say of the body."""
        # RFC 9110 8.3: without a Content-Type it may be taken for octets.
        if request.content_type:
            request.get_content_type((MEDIA_TYPE,))
        length = request.content_length
        if length is None and not self.has_body(request):
            raise webob.exc.HTTPLengthRequired
        if length is not None and length > self._limit:
            raise BodyTooLarge(self._limit)
        return {"source": request.body_file}


class ContentSerializer(JSONResponseSerializer):
    """Streams downloads; the answer to an upload is JSON."""

    def download(self, response: webob.Response, result: Download) -> None:
        """Answer 200, or 206 for a part (RFC 9110, 15.3.7)."""
        content = result.content
        response.content_type = MEDIA_TYPE
        response.accept_ranges = "bytes"
        response.etag = content.sha256
        if result.partial:
            response.status_int = 206
            response.content_range = (result.start, result.stop, content.size)
        response.app_iter = result.body
        response.content_length = result.stop - result.start


def _wanted(req: Request, content: Content) -> tuple[int, int, bool]:
    """The first byte, the one behind the last, and whether that is only a part."""
    size = content.size
    # RFC 9110 13.1.5: a range of another version than ours is of no use.
    if req.headers.get("If-Range", f'"{content.sha256}"') != f'"{content.sha256}"':
        return 0, size, False
    wanted = req.get_range_from_request(size)
    if wanted is None:
        return 0, size, False
    start, stop, *_ = wanted
    if start is None or start < 0:
        # Counted from the end, which may lie before the first byte.
        start = max(0, size + (start or 0))
    return start, size if stop is None else min(stop, size), True
