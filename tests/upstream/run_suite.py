"""Runs unit suites of an installed service and writes each test's outcome as JSON.

    python run_suite.py {glance|heat} OUTCOMES.json [--drop-in] MODULE...

With `--drop-in` the service's own module is `wsgi_stack.glance` or `wsgi_stack.heat`. Runs
in a process of its own, because the services register options and patch the world when
they are imported. Needs the service and the libraries of its tests, nothing else.
"""

from __future__ import annotations

import importlib
import json
import sys
import unittest
from pathlib import Path
from typing import Any


class Outcomes(unittest.TestResult):
    """Remembers one word for each test, and the last line of each failure."""

    def __init__(self) -> None:
        super().__init__()
        self.words: dict[str, str] = {}
        self.reasons: dict[str, str] = {}

    def addSuccess(self, test: Any) -> None:
        self.words.setdefault(test.id(), "passed")

    def addError(self, test: Any, err: Any) -> None:
        self._lost(test, "error", err)

    def addFailure(self, test: Any, err: Any) -> None:
        self._lost(test, "failed", err)

    def addSkip(self, test: Any, reason: str) -> None:
        self.words[test.id()] = "skipped"

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        self.words[test.id()] = "passed"

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.words[test.id()] = "failed"

    def _lost(self, test: Any, word: str, err: Any) -> None:
        self.words[test.id()] = word
        lines = str(err[1]).strip().splitlines()
        self.reasons[test.id()] = f"{err[0].__name__}: {lines[-1] if lines else ''}"


def put_drop_in_place(service: str) -> None:
    """Makes `<service>.common.wsgi` ours, before anything of the service asks for it."""
    # The test package first: it may patch the world, as the service's command does.
    importlib.import_module(f"{service}.tests")
    drop_in = importlib.import_module(f"wsgi_stack.{service}")
    name = f"{service}.common.wsgi"
    if sys.modules.get(name, drop_in) is not drop_in:
        raise RuntimeError(f"{name} was imported before it could be replaced")
    sys.modules[name] = drop_in
    importlib.import_module(f"{service}.common").wsgi = drop_in  # type: ignore[attr-defined]


def main(service: str, outcomes_file: str, *rest: str) -> int:
    modules = [each for each in rest if each != "--drop-in"]
    if "--drop-in" in rest:
        put_drop_in_place(service)
    outcomes = Outcomes()
    loader = unittest.defaultTestLoader
    suites = []
    for name in modules:
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):
            start = str(Path(module.__path__[0]))
            top = Path(start).parents[name.count(".")]
            suites.append(loader.discover(start, top_level_dir=str(top)))
        else:
            suites.append(loader.loadTestsFromModule(module))
    unittest.TestSuite(suites).run(outcomes)
    found = {"outcomes": outcomes.words, "reasons": outcomes.reasons}
    Path(outcomes_file).write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
