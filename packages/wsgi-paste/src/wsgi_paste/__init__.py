"""PasteDeploy for services that are configured by oslo.config.

Filters (``Middleware``, ``Debug``), factories that hand a ``ConfigOpts`` to
applications and filters, and loading that several threads and nested loads may do at
once. The exceptions are in ``wsgi_paste.errors``.
"""

from ._factories import (
    AppFactory,
    BasePasteFactory,
    FilterFactory,
    app_factory,
    current_conf,
    filter_factory,
    setup_paste_factories,
    teardown_paste_factories,
)
from ._loading import paste_deploy_app
from ._middleware import Debug, Middleware, debug_filter

__all__ = [
    "AppFactory",
    "BasePasteFactory",
    "Debug",
    "FilterFactory",
    "Middleware",
    "app_factory",
    "current_conf",
    "debug_filter",
    "filter_factory",
    "paste_deploy_app",
    "setup_paste_factories",
    "teardown_paste_factories",
]

__version__ = "0.1.0"
