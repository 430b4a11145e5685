"""Rules that hold across the repository and that no single package can check."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from import_graph import Import, circles, imports_of, module_names

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
INDEPENDENT = ("wsgi-server", "wsgi-api", "wsgi-paste")
DISTRIBUTIONS = (*INDEPENDENT, "wsgi-stack")
#: What a sibling may use of a package, beside the names in `__all__`.
PUBLIC_MODULES = ("opts", "errors", "hooks", "embed")
#: The modules of the eventlet engine, the only ones beside the pools that import it.
EVENTLET_MODULES = ("eventlet", "epoll_hub", "gates", "hubs", "wsapoll_hub")
#: Import names that differ from the name of the distribution that holds them.
DISTRIBUTION_OF = {"opentelemetry": "opentelemetry-api", "paste": "pastedeploy"}

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


@pytest.mark.parametrize("distribution", INDEPENDENT)
def test_the_three_packages_do_not_import_one_another(distribution: str) -> None:
    siblings = {module(name) for name in DISTRIBUTIONS if name != distribution}
    found = [
        str(found)
        for found in imports_of(source(distribution))
        if found.target.split(".")[0] in siblings
    ]
    assert found == []


@pytest.mark.parametrize("distribution", INDEPENDENT)
def test_the_three_packages_do_not_depend_on_one_another(distribution: str) -> None:
    assert required(distribution).isdisjoint(DISTRIBUTIONS)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_package_declares_what_it_imports(distribution: str) -> None:
    own = {module(distribution), "_typeshed", "__future__"}
    imported = {
        found.target.split(".")[0] for found in imports_of(source(distribution))
    }
    foreign = imported - own - set(sys.stdlib_module_names) - OPTIONAL[distribution]
    needed = {canonical(DISTRIBUTION_OF.get(name, name)) for name in foreign}
    declared = required(distribution)
    if distribution not in INDEPENDENT:
        # What the combination is made of brings these along, at ranges of its own.
        declared = declared.union(*map(required, INDEPENDENT))
    assert needed <= declared


def test_the_combination_uses_only_what_the_packages_make_public() -> None:
    found = []
    for used in imports_of(source("wsgi-stack")):
        package, _, rest = used.target.partition(".")
        if package not in {module(name) for name in INDEPENDENT}:
            continue
        public = set(importlib.import_module(package).__all__) | set(PUBLIC_MODULES)
        name = rest.split(".")[0] or used.name
        if name is not None and name not in public:
            found.append(str(used))
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


#: The floors of wsgi_server, the lowest first. A module imports from floors below its own
#: and from its own folder; what only a type checker reads counts like everything else.
FLOORS = (
    ("_options", "errors", "hooks", "opts"),
    ("_http11",),
    ("_system",),
    ("_scoreboard",),
    ("_config",),
    ("_net", "_logs"),
    ("_wsgi",),
    ("_connection",),
    ("_engines",),
    ("pools",),
    ("_admin",),
    ("_process",),
    ("_command",),
    ("cli", "server", "embed", "posix", "win32", "stores", "__main__", ""),
)
#: Modules of one floor that may import one another: there, names lie side by side.
OPEN_FLOORS = (FLOORS[0], FLOORS[-1])
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SERVER = source("wsgi-server")
LONGEST_MODULE = 450
MOST_MODULES = 16


def room(name: str) -> str:
    """The folder or module right below the package; empty for the package itself."""
    return [*name.split("."), ""][1]


def arrows() -> list[Import]:
    """What the modules of wsgi_server import of one another."""
    return [
        arrow
        for arrow in imports_of(SERVER)
        if arrow.target.split(".")[0] == SERVER.name
        # The package is loaded before each of its modules; this it says by itself.
        and (arrow.target, arrow.name) != (SERVER.name, "__version__")
    ]


def runs_up(arrow: Import) -> bool:
    here, there = room(arrow.importer), room(arrow.target)
    if here == there:
        return False
    if FLOOR_OF[here] == FLOOR_OF[there]:
        return FLOORS[FLOOR_OF[here]] not in OPEN_FLOORS
    return FLOOR_OF[there] > FLOOR_OF[here]


def test_every_module_of_the_server_has_a_floor() -> None:
    assert {room(name) for name in module_names(SERVER)} == set(FLOOR_OF)


def test_no_import_of_the_server_runs_up() -> None:
    assert [str(arrow) for arrow in arrows() if runs_up(arrow)] == []


def test_no_modules_of_the_server_import_one_another_in_a_circle() -> None:
    assert circles((arrow.importer, arrow.target) for arrow in arrows()) == []


def test_only_the_engine_and_the_pools_import_eventlet() -> None:
    rooms = {f"wsgi_server._engines.{n}" for n in EVENTLET_MODULES}
    rooms.add("wsgi_server.pools")
    found = [
        str(arrow)
        for arrow in imports_of(SERVER)
        if arrow.target.split(".")[0] in {"eventlet", "greenlet"}
        and arrow.importer not in rooms
    ]
    assert found == []


def test_the_http_core_knows_no_socket_clock_thread_log_or_option() -> None:
    forbidden = {
        *("asyncio", "logging", "multiprocessing", "os", "select", "selectors"),
        *("signal", "socket", "ssl", "threading", "time", "oslo_config"),
    }
    found = [
        str(arrow)
        for arrow in imports_of(SERVER)
        if room(arrow.importer) == "_http11"
        and arrow.target.split(".")[0] in {*forbidden, SERVER.name}
        and room(arrow.target) != "_http11"
    ]
    assert found == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_no_module_is_longer_than_can_be_read_at_once(distribution: str) -> None:
    lengths = {
        file: len(file.read_text("utf-8").splitlines())
        for file in source(distribution).rglob("*.py")
    }
    found = {
        f"{file.relative_to(ROOT)}: {length} lines"
        for file, length in lengths.items()
        if length > LONGEST_MODULE
    }
    assert found == set()


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_no_folder_holds_more_modules_than_can_be_surveyed(distribution: str) -> None:
    rooms = Counter(file.parent for file in source(distribution).rglob("*.py"))
    found = {
        f"{folder.relative_to(ROOT)}: {count} modules"
        for folder, count in rooms.items()
        if count > MOST_MODULES
    }
    assert found == set()


@pytest.mark.parametrize("place", ["packages", "tests", "docs", "noxfile.py"])
def test_no_comment_draws_a_banner(place: str) -> None:
    banner = re.compile(r"^\s*#\W*[-=*#~_]{3,}|^\s*#.*[-=*#~_]{4,}\s*$")
    start = ROOT / place
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in ([start] if start.is_file() else sorted(start.rglob("*.py")))
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if banner.search(line)
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


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_news_fragments_have_names_that_towncrier_understands(
    distribution: str,
) -> None:
    config = tomllib.loads((ROOT / "towncrier.toml").read_text("utf-8"))
    types = "|".join(kind["directory"] for kind in config["tool"]["towncrier"]["type"])
    form = re.compile(rf"(\d+|\+[\w-]+)\.({types})(\.\d+)?\.md|\.gitignore|\.gitkeep")
    folder = source(distribution).parents[1] / "newsfragments"
    assert [f.name for f in folder.iterdir() if not form.fullmatch(f.name)] == []


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


def definitions(file: Path) -> set[str]:
    """The names of a file's functions, classes, constants, and of their members."""

    def inside(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield prefix + node.name
                if isinstance(node, ast.ClassDef):
                    yield from inside(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign):
                yield from (prefix + ast.unparse(target) for target in node.targets)
            elif isinstance(node, ast.AnnAssign):
                yield prefix + ast.unparse(node.target)

    return set(inside(ast.parse(file.read_text("utf-8")).body, ""))


#: `folder/module.py` or `folder/module.py:Class.method`, as the pages write them.
MENTION = re.compile(r"`([\w./-]+\.(?:py|toml|conf|sample|svg|txt))(?::([\w.]+))?`")
CONTRIBUTING = sorted((ROOT / "docs" / "contributing").glob("*.md"))


@pytest.mark.parametrize("page", CONTRIBUTING, ids=lambda page: page.stem)
def test_what_the_pages_for_contributors_name_is_there(page: Path) -> None:
    missing = []
    for path, name in MENTION.findall(page.read_text("utf-8")):
        file = next((p for p in (SERVER / path, ROOT / path) if p.is_file()), None)
        if file is None or (name and name not in definitions(file)):
            missing.append(f"{path}:{name}" if name else path)
    # A bare file name is one that each package, or each folder, has.
    bare = {"pyproject.toml", "__init__.py"}
    assert [one for one in missing if one not in bare] == []


@pytest.mark.parametrize("page", CONTRIBUTING, ids=lambda page: page.stem)
def test_folders_that_the_pages_for_contributors_name_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    named = set(re.findall(r"`(tests/[\w/]+|docs/[\w/]+|_[a-z0-9]+)`", text))
    named |= set(re.findall(r"^ (_[a-z0-9]+)/ ", text, re.M))
    missing = [n for n in named if not ((SERVER / n).is_dir() or (ROOT / n).is_dir())]
    assert missing == []


def test_the_architecture_shows_the_floors_that_the_imports_keep() -> None:
    text = (ROOT / "docs" / "contributing" / "architecture.md").read_text("utf-8")
    plan = text.partition("```text\n")[2].partition("```")[0]
    shown = [
        set(re.findall(r"(_\w+)/", line) or line.lstrip().split("   ")[0].split())
        for line in plan.splitlines()
    ]
    order = [rooms & set(FLOOR_OF) for rooms in shown if rooms & set(FLOOR_OF)]
    kept = [set(floor) - {""} for floor in reversed(FLOORS)]
    assert order == kept
