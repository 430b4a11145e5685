"""The subcommands: what they ask for, what they print, how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from server.admin.support import Admin, worker
from wsgi_server._admin.state import Outcome, Running
from wsgi_server._command import control
from wsgi_server._command.arguments import SUBCOMMANDS


def run(admin: Admin, *argv: str) -> int:
    command, *rest = argv
    return control.main([command, "--socket", str(admin.path), *rest])


#: What is typed, and the order that arrives.
ORDERS: dict[str, tuple[list[str], tuple[str, dict[str, Any]]]] = {
    "reload": (["reload"], ("reload", {})),
    "scale": (["scale", "4"], ("scale", {"workers": 4, "by": None})),
    "one more": (["scale", "+1"], ("scale", {"workers": None, "by": 1})),
    "one less": (["scale", "--", "-1"], ("scale", {"workers": None, "by": -1})),
    "restart": (["restart", "2"], ("restart", {"number": 2})),
    "log more": (
        ["log-level", "debug", "--logger", "images", "--for", "60"],
        ("log_level", {"level": "DEBUG", "logger": "images", "seconds": 60.0}),
    ),
    "drain": (["drain"], ("hold", {"held": True})),
    "undrain": (["undrain"], ("hold", {"held": False})),
    "stop": (["stop"], ("stop", {"graceful": True})),
    "stop now": (["stop", "--quick"], ("stop", {"graceful": False})),
    "reopen logs": (["reopen-logs"], ("reopen_logs", {})),
    "upgrade": (["upgrade"], ("upgrade", {})),
    "stacks": (["stacks", "--worker", "1"], ("stacks", {"number": 1})),
}


@pytest.mark.parametrize("what", ORDERS)
def test_each_order_arrives_and_its_outcome_is_told(
    admin: Admin, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv, order = ORDERS[what]
    admin.server.outcome = Outcome(
        True, "it was done", {"stacks": {"1": "it was done"}}
    )
    assert run(admin, *argv) == 0
    assert admin.server.orders == [order]
    assert "it was done" in capsys.readouterr().out


@pytest.mark.parametrize("what", ORDERS)
def test_each_refusal_is_one_line_and_status_3(
    admin: Admin, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv, _ = ORDERS[what]
    admin.server.outcome = Outcome(False, "a reload is under way")
    assert run(admin, *argv) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"wsgi-server {argv[0]}: a reload is under way\n"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"workers": "4"}',
        b'{"workers": true}',
        b'{"workers": 0}',
        b'{"workers": 1, "by": 1}',
    ],
)
def test_an_order_that_says_nothing_sensible_changes_nothing(
    admin: Admin, body: bytes
) -> None:
    answer = admin.ask("/scale", method="POST", body=body, local=True)
    assert answer.status == 400
    problem = json.loads(answer.content)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == 400
    assert problem["detail"]
    assert admin.server.orders == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"level": "LOUD"}',
        b'{"level": 10}',
        b'{"level": "INFO", "logger": 1}',
        b'{"level": "INFO", "for": -1}',
        b'{"level": "INFO", "for": "60"}',
    ],
)
def test_a_log_level_that_is_none_changes_nothing(admin: Admin, body: bytes) -> None:
    answer = admin.ask("/log-level", method="POST", body=body, local=True)
    assert answer.status == 400
    assert admin.server.orders == []


@pytest.mark.parametrize(
    "target", ["/", "/nothing", "/workers/x/restart", "/workers/1", "/status"]
)
def test_there_is_no_other_order(admin: Admin, target: str) -> None:
    assert admin.ask(target, method="POST", local=True).status == 404
    assert admin.server.orders == []


@pytest.mark.parametrize("target", ["/reload", "/scale", "/stop", "/drain"])
def test_no_order_is_taken_over_tcp(admin: Admin, target: str) -> None:
    answer = admin.ask(target, method="POST", body=b'{"workers": 2}')
    assert answer.status == 403
    assert admin.server.orders == []
    assert admin.ask(target, local=True).status == 404


@pytest.mark.parametrize("target", ["/config", "/stacks"])
def test_what_may_hold_secrets_is_not_shown_over_tcp(admin: Admin, target: str) -> None:
    assert admin.ask(target).status == 403
    assert admin.ask(target, local=True).status == 200


def test_a_reload_may_be_asked_for_without_waiting(
    admin: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.server.outcome = None
    assert run(admin, "reload", "--no-wait") == 0
    assert admin.server.orders == [("reload", {})]
    assert capsys.readouterr().out == "a reload was noted\n"


def test_status_is_a_dozen_plain_lines(
    admin: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.server.change(
        workers=(worker(1, slow=(Running("GET", "/slow", 31.0),)), worker(2))
    )
    assert run(admin, "status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "SERVING: 2 workers of generation 1"
    assert any("images: 2 of 2 workers ready" in line for line in lines)
    assert "slow: GET /slow, 31 s, worker 1" in lines
    assert len(lines) <= 12


def test_workers_are_a_table(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(admin, "workers") == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["service", "worker", "pid"]
    assert first.split()[:4] == ["images", "1", "1001", "ready"]
    assert second.split()[1] == "2"


@pytest.mark.parametrize("command", ["status", "workers", "config"])
def test_json_is_the_whole_answer(
    admin: Admin, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(admin, command, "--json") == 0
    assert json.loads(capsys.readouterr().out)["api"] == 1


def test_config_shows_values_and_where_they_are_from(
    admin: Admin, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(admin, "config") == 0
    assert capsys.readouterr().out == "[images] workers = 2  (default)\n"


def test_events_are_listed_and_followed(admin: Admin) -> None:
    admin.server.log.note("info", "the first")
    command = [sys.executable, "-c", FOLLOW, str(admin.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "the first" in process.stdout.readline()
        admin.tasks.append(lambda: admin.server.log.note("error", "the second"))
        admin.wake.send(b"t")
        assert "error: the second" in process.stdout.readline()
        process.terminate()
    assert admin.ask("/readyz").status == 200


FOLLOW = """
import sys
from wsgi_server._command.control import main
sys.exit(main(["events", "--follow", "--socket", sys.argv[1]]))
"""


def test_no_server_is_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert control.main(["status", "--socket", str(tmp_path / "none")]) == 1
    assert "no server answers at" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "nonsense", "999999999"])
def test_a_pid_file_of_nobody_is_status_1(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pid").write_text(content)
    assert control.main(["status", "--pid-file", str(tmp_path / "pid")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_process_without_a_control_socket_is_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        (tmp_path / "pid").write_text(str(process.pid))
        assert control.main(["status", "--pid-file", str(tmp_path / "pid")]) == 1
        process.terminate()
    assert "has no control socket" in capsys.readouterr().err


def test_the_server_is_found_by_its_pid_file(
    admin: Admin, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pid").write_text(str(os.getpid()))
    assert control.main(["status", "--pid-file", str(tmp_path / "pid")]) == 0
    assert capsys.readouterr().out.startswith("SERVING")


def test_the_command_knows_its_subcommands() -> None:
    assert set(SUBCOMMANDS) == set(control.COMMANDS)


def test_nowhere_to_ask_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert control.main(["status"]) == 1
    assert "give --socket" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [["status", "--sockets", "x"], ["scale"], ["scale", "many"], ["restart", "one"]],
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as found:
        control.main(argv)
    assert found.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_top_needs_a_terminal(admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(admin, "top") == 3
    assert "needs a terminal" in capsys.readouterr().err
