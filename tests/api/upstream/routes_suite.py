"""A pytest plugin that runs Routes' own suite against APIMapper.

Unpack the sdist of Routes and run::

    pytest -p api.upstream.routes_suite --rootdir=<sdist> -c /dev/null <sdist>/tests

with this repository's ``tests`` on the path. ``ROUTES_MAPPER=routes`` leaves Routes'
own Mapper in place, for comparison.

The suite was written for nose, which no supported Python can run; the few names that
it takes from there are provided here, by pytest and the standard library.
"""

from __future__ import annotations

import os
import sys
import types
import unittest
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    import routes
    import routes.base
    import routes.mapper
    from wsgi_api import APIMapper


def _eq(first: Any, second: Any, message: str | None = None) -> None:
    assert first == second, message


def _provide_nose() -> None:
    tools = types.ModuleType("nose.tools")
    case = unittest.TestCase()
    tools.eq_ = _eq  # type: ignore[attr-defined]
    tools.ok_ = case.assertTrue  # type: ignore[attr-defined]
    tools.assert_raises = case.assertRaises  # type: ignore[attr-defined]
    tools.assert_is_none = case.assertIsNone  # type: ignore[attr-defined]
    nose = types.ModuleType("nose")
    nose.tools = tools  # type: ignore[attr-defined]
    sys.modules.setdefault("nose", nose)
    sys.modules.setdefault("nose.tools", tools)


def _replace_mapper() -> None:
    for module in (routes, routes.base, routes.mapper):
        module.Mapper = APIMapper


def pytest_report_header() -> str:
    return f"mapper under test: {routes.Mapper.__module__}.{routes.Mapper.__name__}"


_provide_nose()
if os.environ.get("ROUTES_MAPPER") != "routes":
    _replace_mapper()
