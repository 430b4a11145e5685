"""Runs unit suites of a service with its own module and with ours, and compares.

    python compare.py {glance|heat} SOURCE

SOURCE is the unpacked source distribution of the service, whose tests read files that the
wheel does not have. The service, the libraries of its tests and our four distributions are
installed where this runs; versions and requirements are in `SUITES`. Exit status 1 means
that a test which passes with the original does not pass with ours, and no reason is known.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

RUN_SUITE = Path(__file__).with_name("run_suite.py")


@dataclass(frozen=True)
class Suite:
    """What to install, and which of its tests touch the module."""

    requirement: str
    extras: tuple[str, ...]
    modules: tuple[str, ...]
    #: Why a test (or all those whose name begins so) cannot pass with another module.
    reasons: dict[str, str]


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
        modules=(
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
        modules=("heat.tests.api", "heat.tests.test_common_serializers"),
        reasons={"heat.tests.api.test_wsgi.GetSocketTestCase.": _PATCHED_LISTEN},
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


def run(service: str, source: Path, *, drop_in: bool) -> Run:
    """Runs the suites of `service` in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Path(folder, "outcomes.json")
        log = Path(folder, "log")
        command = [sys.executable, "-W", "ignore", str(RUN_SUITE), service]
        command += [str(outcomes), *(["--drop-in"] if drop_in else [])]
        with log.open("wb") as file:
            done = subprocess.run(
                [*command, *SUITES[service].modules],
                cwd=source,
                # The source comes first: tests look for files beside their modules.
                env={**os.environ, "PYTHONPATH": str(source)},
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode or not outcomes.exists():
            sys.exit(log.read_text(errors="replace")[-4000:])
        found = json.loads(outcomes.read_text(encoding="utf-8"))
    return Run(found["outcomes"], found["reasons"])


def known_reason(service: str, test: str) -> str | None:
    """Why `test` cannot pass with another module than its own, if that is known."""
    for beginning, reason in SUITES[service].reasons.items():
        if test.startswith(beginning):
            return reason
    return None


#: Answers of Heat that differ, by what was asked, and why.
_OTHER_ANSWERS = {
    "ContentType=JSON": "the original answers an error with 200 and a text",
}


def differing_answers(source: Path) -> list[str]:
    """What Heat's APIs answer otherwise with ours, one line each, but for known ones.

    The wording of a 400 is our own; its status and headers are not.
    """
    heard = []
    with tempfile.TemporaryDirectory() as folder:
        for mode in ((), ("--drop-in",)):
            file = Path(folder, f"answers{len(mode)}.json")
            program = RUN_SUITE.with_name("heat_answers.py")
            subprocess.run(
                [sys.executable, "-W", "ignore", str(program), str(file), ".", *mode],
                cwd=source,
                env={**os.environ, "PYTHONPATH": str(source)},
                stderr=subprocess.DEVNULL,
                check=True,
            )
            heard.append(json.loads(file.read_text(encoding="utf-8")))
    lines = []
    for own, ours in zip(*heard, strict=True):
        for answer in (own, ours):
            if answer.get("status", "").startswith("400"):
                answer["body"] = ""
                answer["headers"] = [
                    h for h in answer["headers"] if h[0] != "content-length"
                ]
        known = any(text in own["asked"] for text in _OTHER_ANSWERS)
        if own != ours and not known:
            lines.append(f"{own['asked']}: {own['status']} became {ours['status']}")
    print(f"{len(heard[0])} requests, {len(lines)} answered otherwise without a reason")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service", choices=sorted(SUITES))
    parser.add_argument("source", type=Path)
    arguments = parser.parse_args()
    service = arguments.service
    source = arguments.source.resolve()
    original = run(service, source, drop_in=False)
    ours = run(service, source, drop_in=True)
    passed = sorted(t for t, word in original.outcomes.items() if word == "passed")
    lost = [test for test in passed if ours.outcomes.get(test) != "passed"]
    print(f"{SUITES[service].requirement}, its own module: {original}")
    print(f"{SUITES[service].requirement}, wsgi_stack.{service}: {ours}")
    unexplained = 0
    for test in lost:
        reason = known_reason(service, test)
        unexplained += reason is None
        said = ours.reasons.get(test, "did not run")
        print(f"  {test}\n    {reason or f'LOST: {said}'}")
    print(f"{len(lost)} not passed of {len(passed)}, {unexplained} without a reason")
    if service == "heat":
        for line in differing_answers(source):
            print(f"  {line}")
            unexplained += 1
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
