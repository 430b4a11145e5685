"""The request layer of an OpenStack service: routes, resources, bodies, errors."""

from wsgi_api._bodies import JSONRequestDeserializer, JSONResponseSerializer
from wsgi_api._fast_json import fast_decoder, fast_encoder
from wsgi_api._fields.conditions import Selection
from wsgi_api._request import Request, is_json_content_type
from wsgi_api._resource import Resource
from wsgi_api._routing.mapper import APIMapper
from wsgi_api._routing.router import (
    DefaultMethodController,
    RejectMethodController,
    Router,
)
from wsgi_api._schema import validated
from wsgi_api._xml import XMLResponseSerializer
from wsgi_api.errors import log_exception, translate_exception, translate_for

__version__ = "0.1.0"

__all__ = [
    "APIMapper",
    "DefaultMethodController",
    "JSONRequestDeserializer",
    "JSONResponseSerializer",
    "RejectMethodController",
    "Request",
    "Resource",
    "Router",
    "Selection",
    "XMLResponseSerializer",
    "fast_decoder",
    "fast_encoder",
    "is_json_content_type",
    "log_exception",
    "translate_exception",
    "translate_for",
    "validated",
]
