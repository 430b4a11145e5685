"""What every test of wsgi_api shares: one call through a WSGI application."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any
from wsgiref.validate import validator

import pytest

# webob imports cgi, which Python 3.11 and 3.12 announce the end of; the announcement
# is made once, here.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    import webob

Call = Callable[..., webob.Response]


@pytest.fixture
def call() -> Call:
    """Send a request to an application, under the eyes of wsgiref.validate."""

    def send(app: Any, path: str, method: str = "GET", **kwargs: Any) -> webob.Response:
        request = webob.Request.blank(path, method=method, **kwargs)
        # What a server hands over cannot be wound back.
        request.is_body_seekable = False
        response = request.send(validator(app))
        # The validator wants the body read and closed.
        assert isinstance(response.body, bytes)
        return response

    return send
