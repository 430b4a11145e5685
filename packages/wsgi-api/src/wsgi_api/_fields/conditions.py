"""Which part of a content a request is to be answered with: RFC 9110, 13 and 14."""

from __future__ import annotations

import datetime
import re
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import webob
import webob.exc
from webob.byterange import ContentRange

from wsgi_api._fields.ranges import asks_for_one_part, requested_range

# RFC 9110 8.8.3, also with blanks inside: there are services whose tags have them.
_ENTITY_TAG = re.compile(r'(W/)?"([^"]*)"')


class Selection(NamedTuple):
    """What to send of a content.

    ``start`` is the first byte and ``stop`` the one after the last; ``partial`` is
    true where the client asked for a part.
    """

    size: int
    start: int
    stop: int
    partial: bool
    etag: str | None = None
    last_modified: datetime.datetime | None = None

    @property
    def length(self) -> int:
        """The number of bytes to send."""
        return self.stop - self.start

    def fill(self, response: webob.Response) -> None:
        """Sets the status and the header fields that describe the selection.

        The body is left to the caller, who sends bytes ``start`` to ``stop``.
        """
        response.accept_ranges = "bytes"
        response.content_length = self.length
        if self.etag is not None:
            response.etag = self.etag
        if self.last_modified is not None:
            response.last_modified = self.last_modified
        if self.partial:
            response.status_int = 206
            response.content_range = ContentRange(self.start, self.stop, self.size)


def select(
    request: webob.Request,
    size: int,
    *,
    etag: str | None,
    last_modified: datetime.datetime | None,
) -> Selection:
    """Evaluates the conditions and the range of a request, in the order of 13.2.2."""
    if last_modified is not None:
        # HTTP dates have no fractions: 13.1.3 compares what the client can know.
        last_modified = last_modified.replace(microsecond=0)
    _check_version(request, etag, last_modified)
    whole = Selection(size, 0, size, False, etag, last_modified)
    header = request.environ.get("HTTP_RANGE")
    # 14.2: Range means something for GET only.
    if header is None or request.method != "GET" or not asks_for_one_part(header):
        return whole
    if not _same_version(request, etag, last_modified):
        return whole
    asked = requested_range(header, size)
    if asked is None:
        return whole
    first = asked.start or 0
    start = first if first >= 0 else max(0, size + first)
    stop = size if asked.end is None else min(asked.end, size)
    return Selection(size, start, stop, True, etag, last_modified)


def _check_version(
    request: webob.Request,
    etag: str | None,
    last_modified: datetime.datetime | None,
) -> None:
    environ = request.environ
    tags = environ.get("HTTP_IF_MATCH")
    if tags is not None:
        # 13.1.1: a strong comparison, which no weak tag passes.
        if not _names(tags, etag, weak=False):
            raise webob.exc.HTTPPreconditionFailed()
    elif last_modified is not None:
        since = _date(environ.get("HTTP_IF_UNMODIFIED_SINCE"))
        if since is not None and last_modified > since:
            raise webob.exc.HTTPPreconditionFailed()
    tags = environ.get("HTTP_IF_NONE_MATCH")
    if tags is not None:
        if _names(tags, etag, weak=True):
            raise _not_modified(request, etag, last_modified)
    elif last_modified is not None and request.method in ("GET", "HEAD"):
        since = _date(environ.get("HTTP_IF_MODIFIED_SINCE"))
        if since is not None and last_modified <= since:
            raise _not_modified(request, etag, last_modified)


def _names(tags: str, etag: str | None, *, weak: bool) -> bool:
    # "*" names whatever there is, with or without a tag.
    if tags.strip() == "*":
        return True
    return any(
        tag == etag for mark, tag in _ENTITY_TAG.findall(tags) if weak or not mark
    )


def _not_modified(
    request: webob.Request,
    etag: str | None,
    last_modified: datetime.datetime | None,
) -> webob.exc.HTTPException:
    if request.method not in ("GET", "HEAD"):
        return webob.exc.HTTPPreconditionFailed()
    answer = webob.exc.HTTPNotModified()
    if etag is not None:
        answer.etag = etag
    if last_modified is not None:
        answer.last_modified = last_modified
    return answer


def _same_version(
    request: webob.Request,
    etag: str | None,
    last_modified: datetime.datetime | None,
) -> bool:
    header = request.environ.get("HTTP_IF_RANGE")
    if header is None:
        return True
    # 13.1.5 asks for a strong comparison, and for the exact date.
    if header.endswith('"'):
        return etag is not None and header == f'"{etag}"'
    return last_modified is not None and _date(header) == last_modified


def _date(header: str | None) -> datetime.datetime | None:
    if not header:
        return None
    try:
        date = parsedate_to_datetime(header)
    except (IndexError, OverflowError, TypeError, ValueError):
        # 13.1.3: a date that cannot be read is no condition.
        return None
    return date if date.tzinfo else date.replace(tzinfo=datetime.timezone.utc)
