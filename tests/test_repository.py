"""Rules that hold across the repository and that no single package can check."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
INDEPENDENT = ("wsgi-server", "wsgi-api", "wsgi-paste")
DISTRIBUTIONS = (*INDEPENDENT, "wsgi-stack")
#: What a sibling may use of a package, beside the names in `__all__`.
PUBLIC_MODULES = ("opts", "errors")
#: Import names that differ from the name of the distribution that holds them.
DISTRIBUTION_OF = {"paste": "pastedeploy"}

#: Imported where present and done without where not, or put there by the host program.
OPTIONAL = {
    "wsgi-server": {"glance", "wsgi_paste"},
    "wsgi-api": {"cgi", "msgspec", "uwsgi"},
    "wsgi-paste": set[str](),
    "wsgi-stack": set[str](),
}


def module(distribution: str) -> str:
    return distribution.replace("-", "_")


def source(distribution: str) -> Path:
    return ROOT / "packages" / distribution / "src" / module(distribution)


def metadata(distribution: str) -> dict[str, Any]:
    text = (ROOT / "packages" / distribution / "pyproject.toml").read_text("utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required(distribution: str) -> set[str]:
    """The distributions that a package declares, extras included."""
    project = metadata(distribution)
    extras = project.get("optional-dependencies", {}).values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    return {canonical(re.split(r"[\s\[<>=!~;]", line)[0]) for line in lines}


def imports(file: Path) -> Iterator[tuple[str, str | None]]:
    """What a file imports: `(module, None)` or `(module, name)`, relative ones not."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"), str(file))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value), None


def all_imports(place: Path) -> list[tuple[Path, str, str | None]]:
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files, f"no modules under {place}"
    return [(file, name, what) for file in files for name, what in imports(file)]


@pytest.mark.parametrize("distribution", INDEPENDENT)
def test_the_three_packages_do_not_import_one_another(distribution: str) -> None:
    siblings = {module(name) for name in DISTRIBUTIONS if name != distribution}
    found = [
        f"{file.relative_to(ROOT)}: {name}"
        for file, name, _ in all_imports(source(distribution))
        if name.split(".")[0] in siblings
    ]
    assert found == []


@pytest.mark.parametrize("distribution", INDEPENDENT)
def test_the_three_packages_do_not_depend_on_one_another(distribution: str) -> None:
    assert required(distribution).isdisjoint(DISTRIBUTIONS)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_package_declares_what_it_imports(distribution: str) -> None:
    own = {module(distribution), "_typeshed", "__future__"}
    imported = {name.split(".")[0] for _, name, _ in all_imports(source(distribution))}
    foreign = imported - own - set(sys.stdlib_module_names) - OPTIONAL[distribution]
    needed = {canonical(DISTRIBUTION_OF.get(name, name)) for name in foreign}
    declared = required(distribution)
    if distribution not in INDEPENDENT:
        # What the combination is made of brings these along, at ranges of its own.
        declared = declared.union(*map(required, INDEPENDENT))
    assert needed <= declared


def test_the_combination_uses_only_what_the_packages_make_public() -> None:
    found = []
    for file, name, what in all_imports(source("wsgi-stack")):
        package, _, rest = name.partition(".")
        if package not in {module(name) for name in INDEPENDENT}:
            continue
        public = set(importlib.import_module(package).__all__) | set(PUBLIC_MODULES)
        used = rest.split(".")[0] or what
        if used is not None and used not in public:
            found.append(f"{file.relative_to(ROOT)}: {name} {what or ''}")
    assert found == []


def test_the_combination_accepts_the_present_versions_by_range() -> None:
    ranges = metadata("wsgi-stack")["dependencies"]
    for distribution in INDEPENDENT:
        (wanted,) = (line for line in ranges if line.startswith(distribution))
        bounds = re.fullmatch(rf"{distribution}>=([\d.]+),<([\d.]+)", wanted)
        assert bounds, f"{wanted} is not a range"
        floor, ceiling = (tuple(map(int, b.split("."))) for b in bounds.groups())
        version = tuple(map(int, metadata(distribution)["version"].split(".")))
        assert floor <= version < ceiling


def test_only_the_engine_and_the_pools_import_eventlet() -> None:
    places = {
        str(file.relative_to(source("wsgi-server")))
        for file, name, _ in all_imports(source("wsgi-server"))
        if name.split(".")[0] == "eventlet"
    }
    assert places <= {
        "_engines/eventlet.py",
        "_engines/epoll_hub.py",
        "_engines/hubs.py",
        "_engines/eventlet_wsgi.py",
        "pools.py",
    }


def test_the_http_core_knows_no_socket_clock_thread_or_log() -> None:
    forbidden = {"socket", "time", "select", "threading", "logging", "oslo_config"}
    found = [
        f"{file.name}: {name}"
        for file, name, _ in all_imports(source("wsgi-server") / "_http11")
        if name.split(".")[0] in forbidden
    ]
    assert found == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_package_says_one_version_everywhere(distribution: str) -> None:
    version = metadata(distribution)["version"]
    assert importlib.import_module(module(distribution)).__version__ == version
    changelog = (source(distribution).parents[1] / "CHANGELOG.md").read_text("utf-8")
    heads = re.findall(r"^## (\S+) - (unreleased|\d{4}-\d\d-\d\d)$", changelog, re.M)
    assert heads, "no version in the changelog"
    assert heads[0][0] == version


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_package_carries_its_papers(distribution: str) -> None:
    folder = source(distribution).parents[1]
    project = metadata(distribution)
    assert (source(distribution) / "py.typed").is_file()
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert project["license"] == "Apache-2.0"
    assert project["name"] == distribution
    assert (folder / "README.md").read_text("utf-8").startswith(f"# {distribution}\n\n")
    assert (folder / "newsfragments").is_dir()


def noxfile_constant(name: str) -> Any:
    """A literal of the noxfile, which needs nox to be imported."""
    for node in ast.parse((ROOT / "noxfile.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"noxfile.py has no {name}")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_package_declares_the_pythons_that_are_tested(distribution: str) -> None:
    prefix = "Programming Language :: Python :: "
    declared = {
        line.removeprefix(prefix)
        for line in metadata(distribution)["classifiers"]
        if re.fullmatch(prefix + r"3\.\d+", line)
    }
    assert declared == set(noxfile_constant("PYTHONS"))


@pytest.mark.parametrize("distribution", INDEPENDENT)
def test_every_public_name_resolves(distribution: str) -> None:
    package = importlib.import_module(module(distribution))
    missing = [name for name in package.__all__ if not hasattr(package, name)]
    assert missing == []


def test_constraints_pin_every_declared_dependency() -> None:
    text = (ROOT / "constraints.txt").read_text("utf-8")
    pinned = {canonical(name) for name in re.findall(r"^([\w.-]+)==", text, re.M)}
    for distribution in INDEPENDENT:
        assert required(distribution) <= pinned


@pytest.mark.parametrize("session", ["serve", "tests"])
def test_the_readme_shows_the_two_commands(session: str) -> None:
    command = (
        "python3 -m venv .venv && .venv/bin/pip install nox "
        f"&& .venv/bin/nox -s {session}"
    )
    assert command in (ROOT / "README.md").read_text("utf-8")


def test_the_readme_and_the_serve_session_show_the_same_lines_to_try() -> None:
    shown = noxfile_constant("TRY").format(url="http://127.0.0.1:8080")
    readme = (ROOT / "README.md").read_text("utf-8")
    lines = re.findall(r"^curl .*$", shown, re.M)
    assert len(lines) == 3
    assert [line for line in lines if f"\n{line}\n" not in readme] == []


def test_ci_runs_what_the_readme_shows() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.search(r"^exec \.venv/bin/nox -s lint typing tests$", script, re.M)
