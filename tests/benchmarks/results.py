"""What was measured, as one JSON file: where, when, with which versions, and the figures."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from floors import Verdict
    from loads import Figures
    from scenarios import Scenario

#: The ones that the pages show.
COMMITTED = Path(__file__).with_name("results.json")
PACKAGES = (
    *("wsgi-server", "wsgi-api", "wsgi-paste", "wsgi-stack"),
    *("bjoern", "cheroot", "eventlet", "falcon", "flask", "gevent", "glance"),
    *("granian", "gunicorn", "openstack-heat", "oslo.middleware", "pyramid"),
    *("pyuwsgi", "waitress"),
)


class Results:
    """A file of results, to which each measurement adds its part, and which keeps the rest."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.data: dict[str, Any] = {}
        if path.exists():
            self.data = json.loads(path.read_text())

    def add(self, part: str, name: str, found: object) -> None:
        """One thing that was measured, and the circumstances, written at once."""
        self.data.setdefault(part, {})[name] = _without_nan(found)
        self.add_circumstances()

    def add_circumstances(self) -> None:
        """The machine, the day, the versions: those of what was measured last."""
        self.data["circumstances"] = circumstances()
        text = json.dumps(self.data, indent=1, sort_keys=False)
        self._path.write_text(text + "\n")

    def add_scenario(self, scenario: Scenario, medians: Mapping[str, Figures]) -> None:
        """The medians of each server, what was done, and who could not take part."""
        absent = {s.name: why for s in scenario.servers if (why := scenario.why_not(s))}
        found = {
            "load": str(scenario.load),
            "mib": scenario.mib,
            "servers": {name: asdict(seen) for name, seen in medians.items()},
            "left out": absent,
        }
        self.add("scenarios", scenario.name, found)

    def add_floors(self, verdicts: Sequence[Verdict]) -> None:
        """What was asked for, what was seen."""
        for verdict in verdicts:
            floor = verdict.floor
            found = {
                "scenario": floor.scenario,
                "server": floor.server,
                "floor": str(floor),
                "seen": verdict.seen,
                "by CPU": verdict.by_cpu,
                "met": verdict.met,
            }
            self.add("floors", f"{floor.scenario}, {floor.server}: {floor}", found)


def circumstances() -> dict[str, Any]:
    """The machine, the day, and the versions of everybody."""
    cpus = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "cpu": cpus[0] if cpus else platform.machine(),
        "cpus": os.cpu_count(),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "revision": _revision(),
        "versions": versions,
    }


def _revision() -> str:
    try:
        words = ["git", "-C", str(COMMITTED.parent), "rev-parse", "--short", "HEAD"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _without_nan(found: object) -> object:
    """JSON knows no NaN; four digits are more than a measurement has."""
    if isinstance(found, float):
        return None if isnan(found) else float(f"{found:.4g}")
    if isinstance(found, Mapping):
        return {key: _without_nan(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [_without_nan(value) for value in found]
    return found
