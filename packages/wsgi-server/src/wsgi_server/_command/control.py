"""The subcommands that ask and steer a server that runs, over its control socket.

Exit statuses: 0 done, 1 no server there, 2 wrong command line, 3 refused or failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from wsgi_server._net.control_socket import default_control_socket
from wsgi_server.errors import ServerError

from .client import Client, NoServer, find_by_pid_file

NO_SERVER, USAGE, REFUSED = 1, 2, 3

_EPILOG: Final = """\
The server has a control socket where control_socket names one, or where systemd gives it a
directory. exit statuses: 0 done, 1 no server there, 2 wrong command line, 3 refused or failed.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _complain(self.prog, f"{message} (see {self.prog} --help)")
        raise SystemExit(USAGE)


def main(argv: Sequence[str]) -> int:
    """Runs the subcommand `argv[0]` and returns its exit status."""
    arguments = _parser().parse_args(argv)
    run: Callable[[Client, argparse.Namespace], Mapping[str, Any] | None]
    run = arguments.run
    try:
        found = run(Client(_socket(arguments)), arguments)
        if found is not None:
            _show(found, arguments)
    except NoServer as exc:
        _complain(arguments.command, str(exc))
        return NO_SERVER
    except ServerError as exc:
        _complain(arguments.command, str(exc))
        return REFUSED
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    where = common.add_mutually_exclusive_group()
    where.add_argument("--socket", metavar="PATH", help="the control socket")
    where.add_argument(
        "--config-file", metavar="FILE", help="the server's file, with control_socket"
    )
    where.add_argument("--pid-file", metavar="FILE", help="the server's pid file")
    common.add_argument("--json", action="store_true", help="print the whole answer")
    parser = _Parser("wsgi-server", description=__doc__, epilog=_EPILOG)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    for name, (run, help_text, arguments) in COMMANDS.items():
        command = commands.add_parser(
            name, help=help_text, description=help_text, parents=[common]
        )
        for names, keywords in arguments:
            command.add_argument(*names, **keywords)
        command.set_defaults(run=run, text=_TEXTS.get(name))
    return parser


def _socket(arguments: argparse.Namespace) -> str:
    if arguments.socket is not None:
        return str(arguments.socket)
    if arguments.pid_file is not None:
        return find_by_pid_file(arguments.pid_file)
    configured = _configured(arguments.config_file)
    if configured is None:
        raise NoServer(
            "where is the server? give --socket, --config-file or --pid-file"
        )
    return configured


def _configured(path: str | None) -> str | None:
    """The control socket of a configuration file, or where systemd lets it be."""
    from oslo_config import cfg

    from wsgi_server._config.settings import Settings
    from wsgi_server.opts import register_opts

    if path is None:
        return default_control_socket()
    conf = cfg.ConfigOpts()
    register_opts(conf)
    try:
        conf([f"--config-file={path}"], default_config_files=[], default_config_dirs=[])
    except (cfg.Error, OSError) as exc:
        raise NoServer(f"{path} cannot be read: {exc}") from exc
    found = Settings.from_conf(conf, default_port=0).control_socket
    return found or default_control_socket()


def _show(found: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.json or arguments.text is None:
        text = (
            json.dumps(found, indent=2) if arguments.json else str(found.get("detail"))
        )
    else:
        text = arguments.text(found)
    print(text)


def _complain(command: str, reason: str) -> None:
    print(f"wsgi-server {command}: {reason}".replace("\n", " "), file=sys.stderr)


def status_text(status: Mapping[str, Any]) -> str:
    """A dozen plain lines of a status document."""
    server, now = status["server"], status["now"]
    lines = [
        f"{status['phase']}: {status['detail']}",
        f"process {server['pid']}, wsgi-server {server['version']}, Python "
        f"{server['python']}, up {server['uptime']:.0f} s",
        f"ready: {status['ready']['word']} ({status['ready']['reason']})",
        f"generation {status['generation']}, reloads: {status['reloads']['accepted']} "
        f"accepted, {status['reloads']['failed']} failed",
        f"now: {now['requests']:.1f} requests/s, {now['errors']:.1f} errors/s, p50 "
        f"{_seconds(now['p50'])}, p95 {_seconds(now['p95'])}, p99 "
        f"{_seconds(now['p99'])}, {now['busy']:.0%} busy",
    ]
    for service in status["services"]:
        workers = service["workers"]
        urls = ", ".join(one["url"] for one in service["listeners"])
        lines.append(
            f"{service['name']}: {workers['ready']} of {workers['wanted']} workers "
            f"ready, {workers['starting']} starting, {workers['draining']} draining; "
            f"{service['engine']}; {urls}"
        )
    lines += [
        f"slow: {one['method']} {one['path']}, {one['seconds']:.0f} s, worker "
        f"{one['worker']}"
        for one in status["slow"][:3]
    ]
    return "\n".join(lines)


def workers_text(found: Mapping[str, Any]) -> str:
    """A table of the workers."""
    head = (
        *("service", "worker", "pid", "state", "gen", "age", "beat", "requests"),
        *("busy", "queued", "MiB"),
    )
    rows: list[tuple[str, ...]] = [head]
    for row in found["workers"]:
        size = row["resident"]
        rows.append(
            (
                row["service"],
                str(row["number"]),
                str(row["pid"]),
                row["state"],
                str(row["generation"]),
                f"{row['age']:.0f}s",
                f"{row['beat_age']:.1f}s",
                str(row["requests"]),
                f"{row['threads_busy']}/{row['threads']}",
                str(row["queued"]),
                "-" if size is None else f"{size / 1048576:.0f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def _stacks_text(found: Mapping[str, Any]) -> str:
    return "\n\n".join(
        f"worker {number}\n{text}" for number, text in found.get("stacks", {}).items()
    )


def _config_text(found: Mapping[str, Any]) -> str:
    return "\n".join(
        f"[{service}] {name} = {one['value']}  ({one['source']})"
        for service, options in found["options"].items()
        for name, one in options.items()
    )


def _event_line(event: Mapping[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["time"]))
    return f"{when} {event['level']}: {event['text']}"


def _events(client: Client, arguments: argparse.Namespace) -> None:
    shown = json.dumps if arguments.json else _event_line
    if arguments.follow:
        for event in client.follow("/events?follow=1"):
            print(shown(event), flush=True)
    else:
        for event in client.get("/events")["events"]:
            print(shown(event))


def _top(client: Client, _: argparse.Namespace) -> None:
    from .top import run

    run(client)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value * 1000:.1f} ms"


def _flag(*names: str, **keywords: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return names, keywords


_Command = tuple[
    Callable[[Client, argparse.Namespace], "Mapping[str, Any] | None"],
    str,
    Sequence[tuple[tuple[str, ...], dict[str, Any]]],
]

COMMANDS: Final[Mapping[str, _Command]] = {
    "status": (lambda c, a: c.get("/status"), "say what the server does", ()),
    "top": (_top, "show it live, until q is pressed", ()),
    "workers": (lambda c, a: c.get("/workers"), "list the workers", ()),
    "stacks": (
        lambda c, a: c.get(f"/stacks?worker={a.worker or ''}"),
        "show where the threads and greenlets of the workers stand",
        (_flag("--worker", type=int, metavar="N", help="of this one alone"),),
    ),
    "config": (lambda c, a: c.get("/config"), "list the effective options", ()),
    "reload": (
        lambda c, a: c.post("/reload" if a.wait else "/reload?wait=0"),
        "reload, and say what came of it",
        (
            _flag(
                "--no-wait",
                dest="wait",
                action="store_false",
                help="do not wait for it",
            ),
        ),
    ),
    "scale": (
        lambda c, a: c.post("/scale", **a.workers),
        "change the number of workers until the next reload",
        (_flag("workers", type=lambda text: _scale(text), metavar="N|+N|-N"),),
    ),
    "restart": (
        lambda c, a: c.post(f"/workers/{a.worker}/restart"),
        "replace one worker, drained",
        (_flag("worker", type=int, metavar="N"),),
    ),
    "log-level": (
        lambda c, a: c.post(
            "/log-level", level=a.level, logger=a.logger, **{"for": a.seconds}
        ),
        "log more, or less, for a while",
        (
            _flag("level", metavar="LEVEL", help="DEBUG, INFO, WARNING, ERROR"),
            _flag("--logger", default="", help="of this one alone"),
            _flag(
                *("--for",),
                dest="seconds",
                type=float,
                metavar="SECONDS",
                help="then as before",
            ),
        ),
    ),
    "drain": (lambda c, a: c.post("/drain"), "fail the readiness probe", ()),
    "undrain": (lambda c, a: c.post("/undrain"), "end what drain began", ()),
    "stop": (
        lambda c, a: c.post("/stop", how="quick" if a.quick else "graceful"),
        "stop when all is answered",
        (_flag("--quick", action="store_true", help="stop at once"),),
    ),
    "reopen-logs": (lambda c, a: c.post("/reopen-logs"), "open the log files anew", ()),
    "upgrade": (
        lambda c, a: c.post("/upgrade"),
        "start a new server on the same sockets",
        (),
    ),
    "events": (
        _events,
        "list what happened lately",
        (_flag("--follow", action="store_true", help="and what happens from now on"),),
    ),
}

_TEXTS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "status": status_text,
    "workers": workers_text,
    "stacks": _stacks_text,
    "config": _config_text,
}


def _scale(text: str) -> dict[str, int]:
    number = int(text)
    return {"by": number} if text[0] in "+-" else {"workers": number}
