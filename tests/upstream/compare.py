"""Runs foreign suites with their own module and with ours in its place, and compares.

    python compare.py {glance|heat|routes} SOURCE

SOURCE is the unpacked source distribution, whose tests read files that the wheel does not
have. It, the libraries of its tests and our four distributions are installed where this
runs; versions and requirements are in `SUITES`. Exit status 1 means that a test which
passes with the original does not pass with ours and no reason is known, or that a reason
is known and it passes all the same. Heat's answers are held to the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Suite:
    """What to install, and which of its tests touch the module."""

    requirement: str
    extras: tuple[str, ...]
    #: What is run: modules for `run_suite.py`, or paths for pytest.
    tests: tuple[str, ...]
    #: Why a test (or all those whose name begins so) cannot pass with another module.
    reasons: dict[str, str] = field(default_factory=dict)


_PRIVATE_READER = (
    "tests a private class; the chunked input of wsgi_api has tests of its own"
)
_PATCHED_LISTEN = "replaces eventlet.listen and the module's socket and time, not there"

SUITES = {
    "glance": Suite(
        requirement="glance==32.0.0",
        extras=(
            "boto3",
            "ddt",
            "fixtures",
            "os-brick",
            "oslo.privsep",
            "oslotest",
            "psutil",
            "PyMySQL",
            "python-cinderclient",
            "python-swiftclient",
            "requests",
            "testresources",
            "testscenarios",
            "testtools",
        ),
        tests=(
            "glance.tests.unit.common.test_wsgi",
            "glance.tests.unit.common.test_wsgi_app",
            "glance.tests.unit.api",
            "glance.tests.unit.test_versions",
            "glance.tests.unit.test_auth",
            "glance.tests.unit.test_cache_middleware",
            "glance.tests.unit.test_context_middleware",
            "glance.tests.unit.v2",
        ),
        reasons={
            "glance.tests.unit.common.test_wsgi.Test_UwsgiChunkedFile.": _PRIVATE_READER,
            "glance.tests.unit.common.test_wsgi.GetSocketTestCase.": _PATCHED_LISTEN,
            "glance.tests.unit.common.test_wsgi.RequestTest."
            "test_best_match_language_unknown": "counts calls of webob's lookup, which "
            "is not used",
            "glance.tests.unit.common.test_wsgi.ResourceTest.test_translate_exception": (
                "replaces glance.i18n.translate; oslo.i18n is called itself"
            ),
            "glance.tests.unit.common.test_wsgi.ServerTest."
            "test_number_of_workers_posix": "replaces os.fork and oslo.concurrency's "
            "count of CPUs, and starts without a port",
        },
    ),
    "heat": Suite(
        requirement="openstack-heat==24.1.2",
        extras=(
            "ddt",
            "fixtures",
            "kombu",
            "oslotest",
            "PyMySQL",
            "testresources",
            "testscenarios",
            "testtools",
        ),
        tests=("heat.tests.api", "heat.tests.test_common_serializers"),
        reasons={"heat.tests.api.test_wsgi.GetSocketTestCase.": _PATCHED_LISTEN},
    ),
    "routes": Suite(
        requirement="routes==2.5.1", extras=("pytest", "webtest"), tests=("tests",)
    ),
}


@dataclass(frozen=True)
class Run:
    """The outcome of each test, and what those that failed said last."""

    outcomes: dict[str, str]
    reasons: dict[str, str]

    def __str__(self) -> str:
        count = Counter(self.outcomes.values())
        ran = len(self.outcomes) - count["skipped"]
        return f"{count['passed']} passed of {ran} run, {count['skipped']} skipped"


def command(name: str, outcomes: Path, *, drop_in: bool) -> list[str]:
    """What runs a suite in a process of its own and writes the outcomes."""
    python = [sys.executable, "-W", "ignore"]
    mode = ["--drop-in"] if drop_in else []
    tests = SUITES[name].tests
    if name == "routes":
        pytest = ["-m", "pytest", "-q", "-p", "routes_suite", "-c", os.devnull]
        return [*python, *pytest, f"--outcomes={outcomes}", *mode, *tests]
    return [*python, str(HERE / "run_suite.py"), name, str(outcomes), *mode, *tests]


def run(name: str, source: Path, *, drop_in: bool) -> Run:
    """Runs a suite and returns what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        outcomes, log = Path(folder, "outcomes.json"), Path(folder, "log")
        with log.open("wb") as file:
            subprocess.run(
                command(name, outcomes, drop_in=drop_in),
                cwd=source,
                env=environment(source),
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if not outcomes.exists():
            sys.exit(log.read_text(errors="replace")[-4000:])
        found = json.loads(outcomes.read_text(encoding="utf-8"))
    return Run(found["outcomes"], found["reasons"])


def environment(source: Path) -> dict[str, str]:
    """This process's environment, for programs that find the suite and our helpers."""
    # The source comes first: tests look for files beside their modules.
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(HERE)])}


def compare_suites(name: str, source: Path) -> int:
    """Prints both runs and what was lost; returns how much of it is a fault."""
    original = run(name, source, drop_in=False)
    ours = run(name, source, drop_in=True)
    suite = SUITES[name]
    print(f"{suite.requirement}, its own module: {original}")
    print(f"{suite.requirement}, ours in its place: {ours}")
    passed = sorted(t for t, word in original.outcomes.items() if word == "passed")
    lost = [test for test in passed if ours.outcomes.get(test) != "passed"]
    faults = 0
    reasons = dict.fromkeys(suite.reasons, 0)
    for test in passed:
        beginning = next((each for each in reasons if test.startswith(each)), None)
        if test in lost:
            reason = suite.reasons.get(beginning or "")
            said = ours.reasons.get(test, "did not run")
            faults += reason is None
            print(f"  {test}\n    {reason or f'LOST: {said}'}")
        elif beginning is not None:
            faults += 1
            print(f"  {test}\n    PASSES, although a reason against it is listed")
        if beginning is not None:
            reasons[beginning] += 1
    for beginning in [each for each, count in reasons.items() if not count]:
        faults += 1
        print(f"  {beginning}\n    a reason without a test")
    print(f"{len(lost)} not passed of {len(passed)}, {faults} faults")
    return faults


#: Requests that Heat answers otherwise with ours, and why. The first have the status and
#: the headers of the original, and only their text is other.
_WORDED = {
    "GET /v1/p1/stacks?name=%ff": "names what is wrong, where the original has a type",
    "POST /v1/p1/stacks json b''": "says that an argument is missing",
    "POST /v1/p1/stacks json b'{'": "says that the body is no JSON",
    "POST /v1/p1/stacks json b'[]'": "says that an argument is missing",
}
_ERROR_IN_JSON = "an error asked for in JSON has its status; the original says 200"
_CORRECTED = {
    f"GET /v1/?Action={action}&ContentType=JSON": _ERROR_IN_JSON
    for action in (
        "CreateStack&StackName=one",
        "DeleteStack&StackName=absent",
        "DescribeStacks&StackName=absent",
        "ValidateTemplate&TemplateBody=%7B%7D",
    )
}
#: Those that differ in nothing but the field that says what chose the answer.
_VARIED = dict.fromkeys(
    ("GET /v1", "BREW /v1/p1/stacks", "PATCH /v1/p1/stacks/one/i1 json b'{}'"),
    "tells caches what chose the answer (RFC 9110, 12.5.5)",
)


def compare_answers(source: Path) -> int:
    """Prints what Heat's APIs answer otherwise with ours; returns how many are faults."""
    heard = []
    with tempfile.TemporaryDirectory() as folder:
        for mode in ((), ("--drop-in",)):
            file = Path(folder, f"answers{len(mode)}.json")
            program = str(HERE / "heat_answers.py")
            subprocess.run(
                [sys.executable, "-W", "ignore", program, str(file), ".", *mode],
                cwd=source,
                env=environment(source),
                stderr=subprocess.DEVNULL,
                check=True,
            )
            heard.append(json.loads(file.read_text(encoding="utf-8")))
    faults = 0
    differing = set()
    for own, ours in zip(*heard, strict=True):
        asked = own["asked"]
        if own == ours:
            continue
        differing.add(asked)
        reason = _CORRECTED.get(asked)
        if _but_for_words(own) == _but_for_words(ours):
            reason = _WORDED.get(asked)
        elif own == _but_for_vary(ours):
            reason = _VARIED.get(asked)
        faults += reason is None
        print(f"  {asked}\n    {reason or f'DIFFERS: {own} became {ours}'}")
    for asked in sorted({*_WORDED, *_CORRECTED, *_VARIED} - differing):
        faults += 1
        print(f"  {asked}\n    EQUAL, although a reason against it is listed")
    print(f"{len(heard[0])} requests, {len(differing)} differing, {faults} faults")
    return faults


def _but_for_words(answer: dict[str, Any]) -> dict[str, Any]:
    headers = [h for h in answer.get("headers", ()) if h[0] != "content-length"]
    return {**answer, "headers": headers, "body": ""}


def _but_for_vary(answer: dict[str, Any]) -> dict[str, Any]:
    headers = [h for h in answer.get("headers", ()) if h[0] != "vary"]
    return {**answer, "headers": headers}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("source", type=Path)
    arguments = parser.parse_args()
    source = arguments.source.resolve()
    faults = compare_suites(arguments.suite, source)
    if arguments.suite == "heat":
        faults += compare_answers(source)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
