"""Servers whose stdout and stderr are pipes that nobody reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import live

#: The least that Linux allows; it is full after few lines.
CAPACITY = 4096


@dataclass
class Pipe:
    """A pipe that a server writes to."""

    reader: int
    writer: int

    @classmethod
    def make(cls) -> Pipe:
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, CAPACITY)
        return cls(reader, writer)

    @property
    def is_full(self) -> bool:
        """Whether a part of a long line, which is written as one, finds no room any more."""
        answer = fcntl.ioctl(self.reader, termios.FIONREAD, b"\0" * 4)
        return int.from_bytes(answer, "little") + select.PIPE_BUF > CAPACITY

    def close(self) -> None:
        """The reader goes away."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1


@dataclass
class StalledServer(live.LiveServer):
    """A running server that nobody listens to; `close` has it lose its reader as well."""

    pipes: list[Pipe] = field(default_factory=list)

    def close(self) -> None:
        """The reader of both streams goes away."""
        for pipe in self.pipes:
            pipe.close()


@contextlib.contextmanager
def stalled(
    directory: Path, uri: str, *args: str, env: dict[str, str] | None = None
) -> Iterator[StalledServer]:
    """Starts `wsgi-server URI ARGS...` on two pipes; reads until it listens, then no more."""
    output, errors = pipes = [Pipe.make(), Pipe.make()]
    process = subprocess.Popen(
        live.command_line(uri, *args),
        cwd=directory,
        env=live.environment(env),
        stdin=subprocess.DEVNULL,
        stdout=output.writer,
        stderr=errors.writer,
    )
    said = directory / "said-until-it-listens"
    said.touch()
    server = StalledServer(process, directory, said, said, pipes=pipes)
    try:
        for pipe in pipes:
            os.close(pipe.writer)
        with live.stopping([server]):
            while not (found := re.search(r"listening on (\S+)\n", server.log())):
                piece = os.read(errors.reader, CAPACITY)
                assert piece, server.log()
                with said.open("ab") as file:
                    file.write(piece)
            server.url = found.group(1)
            yield server
    finally:
        server.close()


def writes(pid: int) -> int:
    """The write system calls that a process has made."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["syscw"])
