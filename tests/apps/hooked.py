"""An application whose hooks leave notes in the file that NOTES names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from wsgi_server import hooks


def note(text: str) -> None:
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{text}\n")


@hooks.post_fork
def begin(worker_id: int) -> None:
    note(f"begin {worker_id}")
    if "BREAK" in os.environ:
        raise OSError("no database")


@hooks.on_drain
def drain() -> None:
    note("drain")


@hooks.on_exit
def first_registered() -> None:
    note("end of the first")


@hooks.on_exit
def broken() -> None:
    raise RuntimeError("a broken hook")


@hooks.on_exit
def last_registered() -> None:
    note("end of the last")


def app(
    environ: dict[str, Any], start_response: Callable[..., object]
) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"hooked"]
