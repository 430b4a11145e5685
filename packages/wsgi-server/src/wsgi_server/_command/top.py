"""`wsgi-server top`: the status, live in a terminal (extra `top`: rich)."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from wsgi_server.errors import ServerError

from .client import Client, NoServer, Refused

INSTALL: Final = "pip install 'wsgi-server[top]'"
#: Seconds between two looks.
PAUSE: Final = 1.0

_COLOURS: Final = {
    "SERVING": "green",
    "STARTING": "yellow",
    "RELOADING": "yellow",
    "DRAINING": "yellow",
    "FAILED RELOAD": "red",
    "FAILED START": "red",
}
_GENERATIONS: Final = ("blue", "cyan", "magenta", "white")


def run(client: Client) -> None:
    """Shows the server until q is pressed. Raises `NoServer` and `Refused`.

    Up and down choose a worker, s shows where it stands, any other key goes back.
    """
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError as exc:
        raise Refused(f"top needs an extra: {INSTALL}") from exc
    console = Console()
    status = client.get("/status")
    if not console.is_terminal:
        raise Refused("top needs a terminal; use `wsgi-server status`")
    chosen, stacks = 0, ""
    with (
        _keys() as pressed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            count = len(status["workers"])
            chosen = min(chosen, max(0, count - 1))
            live.update(render(status, chosen, stacks), refresh=True)
            key = pressed(PAUSE)
            if key == "q":
                return
            if stacks and key:
                stacks = ""
            elif key == "s" and count:
                stacks = _stacks(client, status["workers"][chosen]["number"])
            elif key in ("j", "B"):
                chosen += 1
            elif key in ("k", "A"):
                chosen = max(0, chosen - 1)
            status = client.get("/status")


def render(status: Mapping[str, Any], chosen: int, stacks: str) -> Any:
    """What a screen shows: a rich renderable."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    now = status["now"]
    colour = _COLOURS[status["phase"]]
    head = Text.assemble(
        (f" {status['phase']} ", f"bold reverse {colour}"),
        f"  {status['detail']}   up {status['server']['uptime']:.0f} s   generation "
        f"{status['generation']}\n\n",
        (f"{now['requests']:.0f}", "bold"),
        " requests/s   ",
        (f"{now['errors']:.1f}", "bold red" if now["errors"] else "bold"),
        " errors/s   p95 ",
        ("-" if now["p95"] is None else f"{now['p95'] * 1000:.1f} ms", "bold"),
        "   ",
        (f"{now['busy']:.0%}", "bold"),
        " busy\n",
    )
    if stacks:
        return Group(head, Text(stacks), Text("\nany key: back", "dim"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("worker", "pid", "state", "age", "requests", "busy", "queued", "MiB"):
        table.add_column(
            name, justify="left" if name in ("worker", "state") else "right"
        )
    for place, row in enumerate(status["workers"]):
        size = row["resident"]
        table.add_row(
            f"{row['service']} {row['number']}",
            str(row["pid"]),
            Text(row["state"], _GENERATIONS[row["generation"] % len(_GENERATIONS)]),
            f"{row['age']:.0f} s",
            str(row["requests"]),
            f"{row['threads_busy']}/{row['threads']}",
            str(row["queued"]),
            "-" if size is None else f"{size / 1048576:.0f}",
            style="reverse" if place == chosen else "",
        )
    slow = Text(
        "".join(
            f"\n{one['seconds']:.0f} s  {one['method']} {one['path']}"
            for one in status["slow"][:5]
        ),
        "yellow",
    )
    last = Text("".join(f"\n{one['text']}" for one in status["events"][-5:]), "dim")
    return Group(head, table, slow, last, Text("\nq quit, s stacks, j/k choose", "dim"))


def _stacks(client: Client, number: int) -> str:
    try:
        found = client.get(f"/stacks?worker={number}")["stacks"]
    except NoServer:
        raise
    except ServerError as exc:
        return str(exc)
    return "\n".join(found.values())


@contextlib.contextmanager
def _keys() -> Iterator[Any]:
    """A function that waits some seconds for a key; empty where none was pressed."""
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)

    def pressed(seconds: float) -> str:
        if not select.select([fd], [], [], seconds)[0]:
            return ""
        # An arrow is three characters, of which the last says which.
        return os.read(fd, 8).decode(errors="replace")[-1:]

    try:
        yield pressed
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
