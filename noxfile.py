# /// script
# # uv installs an environment in a fifth of pip's time. Where a `nox` was installed without
# # it, nox makes itself an environment with both and goes on there.
# dependencies = ["nox[uv]>=2026.10"]
# ///
"""Every task a person runs: `nox --list` names them, `nox -s NAME -- ARGS` runs one.

Nothing here needs a tool that nox does not install. Each session works in an environment
of its own, with the exact versions of constraints.txt unless its docstring says otherwise.
"""

from __future__ import annotations

import itertools
import os
import runpy
import shlex
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "uv|virtualenv"
# As pip does: servers are started thousands of times, and some machines tell Python not
# to write what it compiles.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
nox.options.sessions = ["lint", "typing", "tests", "cover"]
# A machine without some interpreter tests with those that it has, CI included; whoever
# must not miss one passes --error-on-missing-interpreters and names the session.
nox.options.error_on_missing_interpreters = False
nox.options.download_python = "never"
# Two Pythons at a time: the newest, which has the most to do, beside one of the others.
nox.options.parallel = 2

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
# Leaves first: the order of a release, and of one pip command over all of them.
DISTRIBUTIONS = ("wsgi-server", "wsgi-api", "wsgi-paste", "wsgi-stack")
SOURCES = tuple(f"packages/{name}/src" for name in DISTRIBUTIONS)
UPSTREAM = ("glance", "gunicorn", "heat", "routes")
#: CPython's DLLs and extension modules, for `windows`.
WINDOWS_PARTS = "panda3d==1.10.16"
WINDOWS_SUITES = ("tests/windows", "tests/server/http11", "tests/paste")
WINDOWS_TESTS = ("pytest", "pytest-timeout", "hypothesis", "h11", "httptools", "Paste")
EXAMPLE = Path("docs/examples/images")
SAMPLE = Path("docs/reference/wsgi-server.conf.sample")
METRICS = Path("docs/reference/metrics.md")
STATES = Path("docs/contributing/connection-states.svg")


def _runs(executable: Path, version: str) -> bool:
    """Whether this file is that Python; a shim can be there and start nothing."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run(  # noqa: S603
            [executable, "-c", ask],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version


def _pyenv_homes(version: str) -> Iterator[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(root.glob(f"versions/{version}.*/bin"), reverse=True)


def _find_interpreters() -> list[str]:
    """The versions that this machine has, in order.

    What pyenv has installed and its shims would not start is put on PATH, last.
    """
    found = []
    for version in PYTHONS:
        name = f"python{version}"
        path = os.environ.get("PATH", "").split(os.pathsep)
        if any(_runs(Path(place, name), version) for place in path if place):
            found.append(version)
            continue
        home = next(
            (h for h in _pyenv_homes(version) if _runs(h / name, version)), None
        )
        if home is not None:
            os.environ["PATH"] = os.pathsep.join([*path, str(home)])
            found.append(version)
    return found


FOUND = _find_interpreters()


def _group(*names: str) -> list[str]:
    return list(nox.project.dependency_groups(PROJECT, *names))


def _package_toml(distribution: str) -> dict[str, Any]:
    return nox.project.load_toml(f"packages/{distribution}/pyproject.toml")


def _install(session: nox.Session, *requirements: str) -> None:
    """Install from the index alone, at the versions that CI ran with."""
    session.install("-c", "constraints.txt", *requirements)


def _install_distributions(
    session: nox.Session,
    *requirements: str,
    names: tuple[str, ...] = DISTRIBUTIONS,
    constraints: str | None = "constraints.txt",
    extras: bool = False,
) -> None:
    """Install our distributions as a user would: built, not editable.

    Without `constraints` where something else brings the versions.
    """
    fresh = []
    if session.venv_backend == "uv":
        # uv keeps the wheel of a directory until its pyproject.toml changes.
        fresh = [f"--refresh-package={name}" for name in names]
    paths = [f"./packages/{name}{_extras(name) if extras else ''}" for name in names]
    pins = [] if constraints is None else ["-c", constraints]
    session.install(*fresh, *pins, *paths, *requirements)


def _extras(distribution: str) -> str:
    """Every extra of a distribution, as pip wants them behind its name."""
    names = _package_toml(distribution)["project"].get("optional-dependencies", {})
    return f"[{','.join(names)}]" if names else ""


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and spelling; `nox -s lint -- --fix` repairs what a tool can."""
    _install(session, *_group("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")
    session.run("codespell", *(["--write-changes"] if fix else []))


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of the packages, the tests and what else is Python, strictly."""
    _install_distributions(session, *_group("typing"), extras=True)
    session.run("mypy", *SOURCES, "tests", "docs", "noxfile.py")


# The newest first: it has the most to do.
@nox.session(python=PYTHONS[::-1], allow_parallel=True)
def tests(session: nox.Session) -> None:
    """Test everything, installed, on each Python found; arguments go to pytest.

    Without arguments, two kinds run on the newest Python only, because they take most of
    the time and all of it must stay under ten minutes: those marked `forks`, and the
    property tests, which hypothesis marks and which try the same examples everywhere.
    """
    _install_distributions(session, *_group("test"), extras=True)
    newest = session.python == FOUND[-1]
    share = ["-n", "3"] if newest else ["-m", "not forks and not hypothesis"]
    session.run("python", "-m", "pytest", *(session.posargs or share))


@nox.session(python=FOUND[-1:])
def cover(session: nox.Session) -> None:
    """Test everything under coverage on the newest Python, report, hold the floor."""
    _install_distributions(session, *_group("test"), extras=True)
    folder = session.env_dir.resolve() / "coverage"
    env = {"COVERAGE_FILE": str(folder / "data")}
    folder.mkdir(exist_ok=True)
    session.run("coverage", "erase", env=env)
    session.run("coverage", "run", "-m", "pytest", *session.posargs, env=env)
    session.run("coverage", "combine", env=env)
    session.run("coverage", "report", env=env)


@nox.session
@nox.parametrize("distribution", DISTRIBUTIONS, ids=DISTRIBUTIONS)
def install(session: nox.Session, distribution: str) -> None:
    """Install each distribution into a fresh environment, where it does its job."""
    alone = distribution != "wsgi-stack"
    names = (distribution,) if alone else DISTRIBUTIONS
    session.install("pip")
    _install_distributions(session, names=names)
    session.run("python", "-m", "pip", "check")
    program = Path(f"tests/install/{distribution.replace('-', '_')}_works.py").resolve()
    # From elsewhere: nothing of the checkout may be importable by accident.
    session.chdir(session.create_tmp())
    # webob imports cgi, whose end Python 3.11 and 3.12 announce.
    warnings = ("-W", "error", "-W", "ignore:'cgi' is deprecated:DeprecationWarning")
    session.run("python", "-I", *warnings, str(program))


def _floors() -> Iterator[str]:
    """The lowest versions that our distributions and their extras declare."""
    for distribution in DISTRIBUTIONS:
        project = _package_toml(distribution)["project"]
        extras = project.get("optional-dependencies", {}).values()
        for text in itertools.chain(project["dependencies"], *extras):
            requirement = Requirement(text)
            floors = [s.version for s in requirement.specifier if s.operator == ">="]
            if requirement.name not in DISTRIBUTIONS and floors:
                yield f"{requirement.name}=={floors[0]}"


@nox.session(python=PYTHONS[0])
def minimums(session: nox.Session) -> None:
    """Test with the lowest direct dependencies that the distributions declare."""
    floors = Path(session.create_tmp(), "floors.txt")
    floors.write_text("\n".join(sorted(set(_floors()))) + "\n", "utf-8")
    _install_distributions(
        session, *_group("test"), constraints=str(floors), extras=True
    )
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def windows(session: nox.Session) -> None:
    """Test on a CPython for Windows under Wine, which is made once; not part of CI.

    Needs `wine wine64 gcc-mingw-w64-x86-64-win32` of Debian, installed here where that is
    allowed. Arguments go to pytest.
    """
    tools = ("wine", "x86_64-w64-mingw32-gcc", "openssl")
    if any(shutil.which(tool) is None for tool in tools):
        packages = ("wine", "wine64", "gcc-mingw-w64-x86-64-win32", "openssl")
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            session.skip(f"needs the packages {', '.join(packages)}")
        apt = ("apt-get", "-qq", "install", "--yes", "--no-install-recommends")
        session.run(*apt, *packages, external=True)
    rig = (session.cache_dir / "windows").resolve()
    python = str(rig / "python.sh")
    made = rig / "made"
    if not made.exists():
        wheels = Path(session.create_tmp(), "wheels").resolve()
        session.install("pip")
        session.run(
            *("python", "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels)),
            *("--platform", "win_amd64", "--only-binary", ":all:", WINDOWS_PARTS),
        )
        wheel = next(wheels.glob("*.whl"))
        session.run("python", "tests/windows/rig.py", str(rig), str(wheel))
        session.run(python, "-m", "ensurepip", external=True, silent=True)
        made.touch()
    pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    pins = ("--no-warn-script-location", "-c", "constraints.txt")
    ours = [f"./packages/{name}" for name in DISTRIBUTIONS]
    fresh = ("--force-reinstall", "--no-deps")
    session.run(*pip, *pins, *ours, *WINDOWS_TESTS, external=True)
    session.run(*pip, *fresh, *ours, external=True)
    session.run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(rig / "key.pem"), "-out", str(rig / "cert.pem")),
        external=True,
        silent=True,
    )
    # Wine's programs see the whole machine as Z:.
    env = {"WINDOWS_TEST_PAIR": f"Z:{rig}", "PYTHONUTF8": "1"}
    what = session.posargs or WINDOWS_SUITES
    session.run(
        *(python, "-m", "pytest", "-p", "no:cacheprovider", *what),
        env=env,
        external=True,
    )


@nox.session
@nox.parametrize("suite", UPSTREAM, ids=UPSTREAM)
def upstream(session: nox.Session, suite: str) -> None:
    """Run what others test themselves with: suites of services, gunicorn's requests.

    The suites of glance, heat and Routes run with theirs and with ours in its place.
    """
    tmp = Path(session.create_tmp())
    session.install("pip", "setuptools")
    if suite == "gunicorn":
        _judge_by_gunicorn(session, tmp)
        return
    table = runpy.run_path("tests/upstream/compare.py")["SUITES"][suite]
    source = _source(session, table.requirement, tmp)
    # A service brings its own versions; ours take what they declare.
    _install_distributions(session, table.requirement, *table.extras, constraints=None)
    session.run("python", "tests/upstream/compare.py", suite, str(source))


def _judge_by_gunicorn(session: nox.Session, tmp: Path) -> None:
    # The version whose differences the test lists.
    requirement = "gunicorn==27.0.1"
    source = _source(session, requirement, tmp)
    _install_distributions(
        session, requirement, *_group("test"), names=("wsgi-server",)
    )
    session.run(
        *("python", "-m", "pytest", "tests/server/http11/test_gunicorn_requests.py"),
        env={"GUNICORN_SOURCE": str(source)},
    )


#: The tests of the real services, and what they need beside the service.
SERVICES = {
    "glance": (("openstacksdk",), ("glance_service.py",)),
    "heat": ((), ("heat_service.py", "old_faults.py")),
    # Pyramid still imports pkg_resources.
    "pserve": (("pyramid", "setuptools<81"), ("pserve_service.py",)),
}


@nox.session
@nox.parametrize("service", list(SERVICES), ids=list(SERVICES))
def services(session: nox.Session, service: str) -> None:
    """Start Glance, Heat and pserve on our server and use them; arguments go to pytest."""
    suites = runpy.run_path("tests/upstream/compare.py")["SUITES"]
    needed, programs = SERVICES[service]
    if service in suites:
        needed = (suites[service].requirement, *needed)
    needed = (*needed, "pytest", "pytest-timeout")
    _install_distributions(session, *needed, constraints=None)
    files = [f"tests/upstream/{name}" for name in programs]
    session.run("python", "-m", "pytest", *files, *session.posargs)


def _source(session: nox.Session, requirement: str, folder: Path) -> Path:
    """Unpack the source distribution of a requirement, and return where it is."""
    name = requirement.partition("==")[0]
    for old in folder.glob("*.tar.gz"):
        old.unlink()
    session.run(
        *("python", "-m", "pip", "download", "--quiet", "--no-deps"),
        *("--no-binary", name, "--dest", str(folder), requirement),
    )
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder.resolve() / archive.name.removesuffix(".tar.gz")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, run its examples, compare what is generated in it."""
    _install_distributions(session, *_group("docs"), "wsgi-server[metrics,top]")
    sample = ("oslo-config-generator", "--namespace", "wsgi_server", "--output-file")
    _compare(session, SAMPLE, *sample)
    _compare(session, METRICS, "python", str(METRICS.parent / "list_metrics.py"))
    _compare(session, STATES, "python", str(STATES.parent / "draw_states.py"))
    for builder in ("html", "doctest"):
        strict = ("-n", "-W", "--keep-going", "-b", builder)
        session.run("sphinx-build", *strict, "docs", f"docs/_build/{builder}")


def _compare(session: nox.Session, page: Path, *command: str) -> None:
    """Hold a page to what `command` writes into the file that it is given last."""
    fresh = Path(session.create_tmp(), page.name)
    session.run(*command, str(fresh))
    if page.read_bytes() != fresh.read_bytes():
        shutil.copyfile(fresh, page)
        session.error(f"{page} was out of date; it is now as the code says: commit")


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel of each distribution into dist/ and check what is inside."""
    _install(session, *_group("build"))
    dist = Path("dist")
    shutil.rmtree(dist, ignore_errors=True)
    for name in DISTRIBUTIONS:
        session.run("python", "-m", "build", "--outdir", "dist", f"packages/{name}")
    session.run("twine", "check", "--strict", *map(str, sorted(dist.iterdir())))
    for name in DISTRIBUTIONS:
        missing = sorted(_missing_from_archives(dist, name))
        if missing:
            session.error(f"{name}: not in the archives: {', '.join(missing)}")
    session.log("the archives hold every source file, py.typed, licence and locale")


def _missing_from_archives(dist: Path, distribution: str) -> Iterator[str]:
    """What stands in the source tree and not in both archives."""
    source = ROOT / "packages" / distribution / "src"
    stem = distribution.replace("-", "_")
    version = _package_toml(distribution)["project"]["version"]
    files = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    licence = f"{stem}-{version}.dist-info/licenses/LICENSE"
    with zipfile.ZipFile(dist / f"{stem}-{version}-py3-none-any.whl") as wheel:
        yield from (files | {licence}) - set(wheel.namelist())
    inside = {f"{stem}-{version}/src/{name}" for name in files}
    inside |= {f"{stem}-{version}/{name}" for name in ("LICENSE", "README.md")}
    with tarfile.open(dist / f"{stem}-{version}.tar.gz") as sdist:
        yield from inside - set(sdist.getnames())


@nox.session
def news(session: nox.Session) -> None:
    """Draft the release notes of the distributions named, or of all."""
    _install(session, *_group("news"))
    silent = []
    for name in session.posargs or DISTRIBUTIONS:
        if _changed_since_release(session, name) and not _fragments(name):
            silent.append(name)
            continue
        session.run(
            *("towncrier", "build", "--draft", "--config", "towncrier.toml"),
            *("--dir", f"packages/{name}", "--name", name),
            *("--version", _package_toml(name)["project"]["version"]),
        )
    if silent:
        session.error(f"changed since their release, no fragment: {', '.join(silent)}")


def _fragments(distribution: str) -> list[Path]:
    return sorted(Path("packages", distribution, "newsfragments").glob("*.*.md"))


def _changed_since_release(session: nox.Session, distribution: str) -> bool:
    """Whether the code differs from what the changelog tells of.

    That is the last release or, before the first, the last change of the changelog.
    """
    package = f"packages/{distribution}"
    tags = _git(session, "tag", "--list", f"{distribution}-v*", "--sort=-v:refname")
    told = tags or _git(
        session, "log", "-1", "--format=%H", "--", f"{package}/CHANGELOG.md"
    )
    return bool(_git(session, "diff", "--name-only", told[0], "--", f"{package}/src"))


def _git(session: nox.Session, *words: str) -> list[str]:
    """The words that git prints."""
    printed = session.run("git", *words, external=True, silent=True, log=False)
    return str(printed or "").split()


@nox.session
def bench(session: nox.Session) -> None:
    """Measure beside peers from PyPI, or, with `guard`, beside an earlier revision.

    `nox -s bench -- servers hello --rounds 5`; `nox -s bench -- guard --against HEAD~5`;
    `nox -s bench -- decisive --pages` for all that the documentation shows.
    """
    name, *args = session.posargs or ["servers"]
    script = Path(f"tests/benchmarks/{name}.py")
    if not script.is_file():
        session.error(f"no benchmark {name} in {script.parent}")
    _install_distributions(session, extras=True)
    if name != "guard":
        # Peers at the versions that a newcomer would get today.
        session.install("pip", *_group("bench"))
        # Built from source with the headers of libev: measured where it can be had.
        pip = ("python", "-m", "pip", "install", "--quiet", "bjoern")
        session.run(*pip, success_codes=[0, 1])
    session.run("python", str(script), *args)


@nox.session(python=FOUND[-1:])
def observe(session: nox.Session) -> None:
    """Let a real Prometheus scrape a server through reloads and kills, and count with it.

    It is Debian's package `prometheus`; without it the session is skipped.
    """
    if shutil.which("prometheus") is None:
        session.skip("prometheus is not installed: it is in the package prometheus")
    _install_distributions(session, *_group("test"), "wsgi-server[metrics]")
    program = "tests/server/process/real_prometheus.py"
    session.run("python", "-m", "pytest", program, *(session.posargs or ["-rP"]))


@nox.session(python=FOUND[-1:])
def fuzz(session: nox.Session) -> None:
    """Fuzz the HTTP core for ten minutes, or as libFuzzer's arguments say.

    It starts from the tables of the tests. An input that fails stays in the folder that is
    named at the end; give it as the argument to see it fail again. With the newest atheris.
    """
    _install_distributions(session, *_group("fuzz"), names=("wsgi-server",))
    keep = session.env_dir.resolve() / "failures"
    keep.mkdir(exist_ok=True)
    args = session.posargs or ["-max_total_time=600"]
    target = "tests/fuzz/http11_fuzz.py"
    session.run("python", target, f"-artifact_prefix={keep}{os.sep}", *args)


def _option(args: list[str], name: str, default: str) -> str:
    """The value that the last `--name VALUE` or `--name=VALUE` gives."""
    for position in range(len(args) - 1, -1, -1):
        if args[position].startswith(f"{name}="):
            return args[position].partition("=")[2]
        if args[position] == name and position + 1 < len(args):
            return args[position + 1]
    return default


def _page(admin_bind: str) -> str:
    """Where the status page of a server is, for people."""
    if admin_bind.startswith("unix:"):
        return (
            f"curl --unix-socket {admin_bind.removeprefix('unix:')} http://localhost/"
        )
    return f"http://{admin_bind}/" if admin_bind else "not now, --admin-bind is empty"


TRY = """
The image registry is at {url} once the log says "listening on".
In another terminal, in this folder, one after the other:

curl {url}/v1/images -H 'Content-Type: application/json' -d '{{"name": "first"}}'; curl {url}/v1/images
curl {url}/v1/images/first/file -T README.md
curl {url}/v1/images/first/file -r 0-99

Ctrl-C stops it.
"""
WATCH = """
What the server does meanwhile is at {page}
or in a terminal; and this makes it load the code anew:

{command} top --socket {socket}
{command} reload --socket {socket}
"""


@nox.session
def serve(session: nox.Session) -> None:
    """Run the example service; arguments go to wsgi-server, e.g. --bind-port 9000.

    Its status page is at http://127.0.0.1:8081/ unless --admin-bind says otherwise.
    """
    _install_distributions(session, *_group("example"), "wsgi-server[metrics,top]")
    # Relative, because the path of a Unix socket is short.
    home = Path(os.path.relpath(session.env_dir))
    args = ["--bind-host", "127.0.0.1", "--bind-port", "8080", "--workers", "2"]
    args += ["--admin-bind", "127.0.0.1:8081"]
    args += ["--control-socket", str(home / "control.sock"), *session.posargs]
    host = _option(args, "--bind-host", "")
    port = _option(args, "--bind-port", "")
    # Gone with the environment, so that the lines below work each time.
    state = session.env_dir.resolve() / "images"
    command = [
        *("wsgi-server", f"config:{EXAMPLE}/api-paste.ini#main"),
        *("--config-file", f"{EXAMPLE}/images.conf", *args),
    ]
    session.log(shlex.join(command))
    watch = {
        "page": _page(_option(args, "--admin-bind", "")),
        "command": shlex.quote(str(home / "bin" / "wsgi-server")),
        "socket": shlex.quote(_option(args, "--control-socket", "")),
    }
    print(TRY.format(url=f"http://{host}:{port}") + WATCH.format(**watch), flush=True)
    path = os.pathsep.join([str(Path(session.bin).resolve()), os.environ["PATH"]])
    env = {**os.environ, **session.env, "PATH": path, "PYTHONPATH": str(EXAMPLE)}
    env["OS_IMAGES__DATA_DIR"] = str(state)
    # The server takes over this process. Signals then mean what the server says they
    # mean, and Ctrl-C is not answered by nox as well, which would kill after 0.3 s.
    os.execvpe(  # noqa: S606
        command[0], command, {k: v for k, v in env.items() if v is not None}
    )


@nox.session
def constraints(session: nox.Session) -> None:
    """Write constraints.txt anew: the newest versions that suit every Python at once."""
    session.install("uv")
    wanted = Path(session.create_tmp(), "wanted.in")
    lines = [f"{ROOT}/packages/{name}{_extras(name)}" for name in DISTRIBUTIONS]
    newest = ("bench", "fuzz")
    lines += _group(*(n for n in PROJECT["dependency-groups"] if n not in newest))
    wanted.write_text("\n".join(lines) + "\n", "utf-8")
    session.run(
        *("uv", "pip", "compile", "--quiet", "--upgrade", "--universal"),
        *("--python-version", PYTHONS[0], "--no-header", "--no-annotate"),
        *(f"--no-emit-package={name}" for name in DISTRIBUTIONS),
        *("--output-file", "constraints.txt", str(wanted)),
    )
