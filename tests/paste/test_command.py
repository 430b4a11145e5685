"""The `wsgi-paste` command, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wsgi_paste import cli

GOOD = """
[loggers]
keys = root

[composite:main]
use = call:service:urlmap
/ = versions
/v2 = api

[composite:api]
paste.composite_factory = service:pipelines
default = debug v2
cached = debug cache v2
limit = 7

[filter:debug]
use = egg:wsgi-paste#debug

[filter:cache]
paste.filter_factory = wsgi_paste:filter_factory
wsgi_paste.filter_factory = service:make_filter

[app:versions]
paste.app_factory = service:plain_app
filter-with = debug

[app:v2]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = service:make_app

[filter-app:alone]
use = cache
next = v2

[server:main]
use = egg:wsgi-paste#absent
"""


@pytest.fixture
def good(write: Callable[..., str], service: Any) -> Any:
    service.pipelines = service.plain_app
    return write(GOOD.replace("egg:wsgi-paste#absent", "call:service:plain_app"))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = cli.main(argv)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_check_of_a_good_file(
    good: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])

    assert run(capsys, "check", good) == (0, f"{good}: 8 sections, no fault\n", "")


def test_check_counts_a_single_section(
    write: Callable[..., str],
    service: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = write("[app:main]\nuse = call:service:plain_app\n")

    assert run(capsys, "check", path) == (0, f"{path}: 1 section, no fault\n", "")


BAD = """
[pipeline:main]
pipeline = one two egg:wsgi-paste#debug app

[filter:broken]
paste.filter_factory = no_such_module:f

[app:app]
paste.app_factory = wsgi_paste:app_factory
wsgi_paste.app_factory = service:absent

[app:bug]
use = call:bugged:app
"""


def test_check_prints_every_fault(
    write: Callable[..., str],
    service: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "bugged.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    path = write(BAD)

    status, out, err = run(capsys, "check", path)

    has = "the file has [pipeline:main], [filter:broken], [app:app], [app:bug]"
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f"{path}: [pipeline:main] pipeline: there is no section [filter:one]; {has}",
        f"{path}: [pipeline:main] pipeline: there is no section [filter:two]; {has}",
        f"{path}: [filter:broken] paste.filter_factory: cannot import no_such_module:f:"
        " No module named 'no_such_module'",
        f"{path}: [app:app] wsgi_paste.app_factory: cannot import service:absent: "
        "module 'service' has no attribute 'absent'",
        f"{path}: [app:bug]: ZeroDivisionError: division by zero",
    ]


def test_check_without_imports_looks_at_the_file_alone(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(BAD.replace("one two", ""))

    assert run(capsys, "check", "--no-import", path) == (
        0,
        f"{path}: 4 sections, no fault\n",
        "",
    )


def test_check_knows_that_settings_refer_to_each_other(
    write: Callable[..., str],
    service: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = write(
        """
        [DEFAULT]
        front = one
        module = service

        [pipeline:main]
        pipeline = %(front)s app

        [filter:one]
        paste.filter_factory = %(module)s:plain_filter

        [app:app]
        paste.app_factory = wsgi_paste:app_factory
        wsgi_paste.app_factory = %(module)s:make_app
        """
    )

    assert run(capsys, "check", path) == (0, f"{path}: 3 sections, no fault\n", "")
    assert run(capsys, "draw", path)[1].splitlines() == [
        "[pipeline:main]",
        "|-- [filter:one]  service:plain_filter",
        "`-- [app:app]  service:make_app",
    ]


def test_check_finds_what_is_mounted_and_not_there(
    write: Callable[..., str],
    service: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = write(
        """
        [composite:main]
        use = call:service:urlmap
        / = apii

        [app:api]
        use = call:service:plain_app
        """
    )

    assert run(capsys, "check", path) == (
        1,
        "",
        f"{path}: [composite:main] /: there is no section [app:apii] or "
        "[composite:apii] or [pipeline:apii] or [filter-app:apii]; "
        "the file has [composite:main], [app:api]\n",
    )


def test_check_outlives_a_module_that_leaves(
    write: Callable[..., str],
    service: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    path = write("[app:main]\nuse = call:leaves:app\n")

    assert run(capsys, "check", path) == (1, "", f"{path}: [app:main]: SystemExit: 0\n")


def test_list(good: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "list", good)

    assert (status, err) == (0, "")
    assert out == textwrap.dedent(
        """\
        composite   main      call:service:urlmap
        composite   api       service:pipelines
        filter      debug     egg:wsgi-paste#debug
        filter      cache     service:make_filter
        app         versions  service:plain_app
        app         v2        service:make_app
        filter-app  alone     cache
        server      main      call:service:plain_app
        """
    )


def test_list_of_a_section_that_says_nothing(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "list", write("[app:main]\n")) == (0, "app  main\n", "")


def test_list_of_an_empty_file(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "list", write("")) == (0, "", "")


def test_draw_everything_that_nothing_else_uses(
    good: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "draw", good)

    assert (status, err) == (0, "")
    assert out == textwrap.dedent(
        """\
        [composite:main]  call:service:urlmap
        |-- /: [app:versions]  service:plain_app
        |   `-- filter-with: [filter:debug]  egg:wsgi-paste#debug
        `-- /v2: [composite:api]  service:pipelines
            |-- default:
            |   |-- [filter:debug]  egg:wsgi-paste#debug
            |   `-- [app:v2]  service:make_app
            `-- cached:
                |-- [filter:debug]  egg:wsgi-paste#debug
                |-- [filter:cache]  service:make_filter
                `-- [app:v2]  service:make_app
        [filter-app:alone]  cache
        |-- use: [filter:cache]  service:make_filter
        `-- next: [app:v2]  service:make_app
        """
    )


def test_draw_one_application(good: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "draw", good, "v2")

    assert (status, out) == (0, "[app:v2]  service:make_app\n")


def test_draw_shows_what_is_missing_what_is_elsewhere_and_what_was_shown(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(
        """
        [pipeline:one]
        pipeline = absent egg:wsgi-paste#debug two

        [pipeline:two]
        pipeline = one
        """
    )

    status, out, _ = run(capsys, "draw", path)

    assert status == 0
    assert out == textwrap.dedent(
        """\
        [pipeline:one]
        |-- absent  (no such section)
        |-- egg:wsgi-paste#debug
        `-- [pipeline:two]
            `-- [pipeline:one]  (as above)
        [pipeline:two]  (as above)
        """
    )


def test_draw_of_an_unknown_application(
    good: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "draw", good, "absent")

    assert (status, out) == (1, "")
    assert err.startswith(f"{good}: there is no section [app:absent]")


@pytest.mark.parametrize("command", ["check", "list", "draw"])
def test_a_file_that_cannot_be_read(
    command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "absent.ini")

    assert run(capsys, command, path) == (
        3,
        "",
        f"{path}: cannot read it: No such file or directory\n",
    )


def test_a_file_that_does_not_parse(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("nonsense\n")

    status, out, err = run(capsys, "list", path)

    assert (status, out) == (3, "")
    assert err == f"{path}: line 1: a [section] must come before 'nonsense'\n"


@pytest.mark.parametrize("argv", [[], ["paint", "x.ini"], ["check"]])
def test_a_wrong_command_line(argv: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)

    assert caught.value.code == cli.ExitStatus.USAGE
    assert "usage: wsgi-paste" in capsys.readouterr().err


def test_help_tells_the_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])

    text = capsys.readouterr().out
    assert caught.value.code == 0
    for status in cli.ExitStatus:
        assert f"\n  {int(status)}  " in text
    for command in ("check", "list", "draw"):
        assert f"    {command} " in text


def command(*argv: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wsgi_paste.cli", *argv],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


def test_modules_beside_the_file_are_found(
    tmp_path: Path, write: Callable[..., str]
) -> None:
    (tmp_path / "own_service.py").write_text("def app(global_conf): ...\n")
    write("[app:main]\npaste.app_factory = own_service:app\n")

    done = command("check", "api-paste.ini", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "api-paste.ini: 1 section, no fault\n"


def test_a_reader_that_leaves_early_is_no_error(
    tmp_path: Path, write: Callable[..., str]
) -> None:
    # More than a pipe holds, so that the writer meets the closed end.
    names = "".join(f"[app:{n:04}]\nuse = call:x:{'y' * 60}\n" for n in range(2000))
    path = write(names)

    done = subprocess.run(
        f'"{sys.executable}" -m wsgi_paste.cli list "{path}" | head -n 1',
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )

    assert done.stdout.startswith("app  0000  call:x:yyy")
    assert done.stderr == ""
