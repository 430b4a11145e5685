"""What the parts below the API raise, as the HTTP errors that clients see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import webob.exc
from wsgi_api.errors import BodyTooLarge

from .catalogue import ContentExists, ImageExists, NoSuchImage
from .files import ContentTooLarge
from .patch import MalformedPatch, PatchConflict


@contextmanager
def as_http_errors() -> Iterator[None]:
    """Raises what the catalogue, the files and patches raise as HTTP errors.

    The explanation of an HTTP error is translated for the client, the detail is not.
    """
    try:
        yield
    except NoSuchImage as exc:
        raise webob.exc.HTTPNotFound(detail=str(exc)) from exc
    except (ImageExists, ContentExists, PatchConflict) as exc:
        raise webob.exc.HTTPConflict(detail=str(exc)) from exc
    except ContentTooLarge as exc:
        raise BodyTooLarge(exc.limit) from exc
    except MalformedPatch as exc:
        raise webob.exc.HTTPBadRequest(detail=str(exc)) from exc
