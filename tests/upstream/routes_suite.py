"""A pytest plugin that runs Routes' own suite, against APIMapper where it is told so.

    pytest -p routes_suite -c /dev/null --outcomes=FILE.json [--drop-in] TESTS

The suite was written for nose and for Pythons before 3.12; the few names that it takes
from there are provided here, by pytest and the standard library.
"""

from __future__ import annotations

import json
import sys
import types
import unittest
import warnings
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    import routes
    import routes.base
    import routes.mapper
    from wsgi_api import APIMapper


class Outcomes:
    """Remembers one word for each test, and the last line of each failure."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.words: dict[str, str] = {}
        self.reasons: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self.words[report.nodeid] = report.outcome
        if report.failed:
            self.reasons[report.nodeid] = report.longreprtext.strip().splitlines()[-1]

    def pytest_sessionfinish(self) -> None:
        found = {"outcomes": self.words, "reasons": self.reasons}
        self.file.write_text(json.dumps(found), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--drop-in", action="store_true", help="use APIMapper")
    parser.addoption("--outcomes", type=Path, required=True, help="what came of it")


def pytest_configure(config: pytest.Config) -> None:
    _provide_nose()
    if config.option.drop_in:
        for module in (routes, routes.base, routes.mapper):
            module.Mapper = APIMapper
    config.pluginmanager.register(Outcomes(config.option.outcomes))


def _eq(first: Any, second: Any, message: str | None = None) -> None:
    assert first == second, message


def _provide_nose() -> None:
    tools: Any = types.ModuleType("nose.tools")
    case = unittest.TestCase()
    tools.eq_ = _eq
    tools.ok_ = case.assertTrue
    tools.assert_raises = case.assertRaises
    tools.assert_is_none = case.assertIsNone
    nose: Any = types.ModuleType("nose")
    nose.tools = tools
    sys.modules.setdefault("nose", nose)
    sys.modules.setdefault("nose.tools", tools)
    # Gone in Python 3.12.
    case_class: Any = unittest.TestCase
    case_class.assert_ = case_class.assertTrue
