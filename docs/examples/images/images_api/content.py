"""The bytes of images: upload and download, never held in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import webob
import webob.exc
from wsgi_api import (
    JSONRequestDeserializer,
    JSONResponseSerializer,
    Request,
    Selection,
)
from wsgi_api.errors import BodyTooLarge, UnsupportedContentEncoding

from .catalogue import Catalogue, ContentExists
from .errors import as_http_errors
from .files import CHUNK, FilePart, Files, Source
from .images import view

MEDIA_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Download:
    """The bytes to send, and what they are of the whole."""

    body: Iterable[bytes]
    selection: Selection


class ContentController:
    """The actions on the content of images."""

    def __init__(self, catalogue: Catalogue, files: Files) -> None:
        self._catalogue = catalogue
        self._files = files

    def upload(self, req: webob.Request, name: str, source: Source) -> dict[str, Any]:
        """Stores the body of the request as the image's content."""
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
        """Opens the content at the range that is asked for."""
        with as_http_errors():
            content = self._catalogue.get(name).content
        if content is None:
            raise webob.exc.HTTPNotFound(detail=f"{name} has no content yet")
        # Content never changes, so its checksum is the best of entity tags.
        selection = req.select(content.size, etag=content.sha256)
        try:
            file = self._files.open(content)
        except FileNotFoundError as exc:
            # Deleted since it was looked up.
            raise webob.exc.HTTPNotFound from exc
        wrap = req.environ.get("wsgi.file_wrapper")
        if wrap is not None and selection.length == content.size:
            # By the kernel, if the server can. Not for parts: PEP 3333 has it begin
            # where the file stands, but uWSGI begins where the file does.
            return Download(wrap(file, CHUNK), selection)
        file.seek(selection.start)
        return Download(FilePart(file, selection.length), selection)


class ContentDeserializer(JSONRequestDeserializer):
    """Hands the body of an upload on as a stream."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def upload(self, request: Request) -> dict[str, Any]:
        """Checks what the headers say of the body."""
        # RFC 9110 14.5: a part taken for the whole would be an image for ever.
        if "Content-Range" in request.headers:
            raise webob.exc.HTTPBadRequest("An upload is whole: no Content-Range.")
        coding = request.headers.get("Content-Encoding", "identity")
        if coding.lower() != "identity":
            raise UnsupportedContentEncoding(coding, ())
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
        """Answers 200, or 206 for a part."""
        response.content_type = MEDIA_TYPE
        response.app_iter = result.body
        result.selection.fill(response)
