"""Server classes as services make them by overriding, for `apps.service` to use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from wsgi_server import PosixServer, pools


class Small(PosixServer):
    """A pool of its own; says in `DIARY` how many requests it bounds."""

    def create_pool(self) -> Any:
        return pools.get_asynchronous_eventlet_pool(size=3)

    def configure(self, old_conf: Any = None, has_changed: Any = None) -> None:
        super().configure(old_conf, has_changed)
        assert self._settings is not None
        write(f"{self.pool.size} {self._settings.threads}")


class Wrapped(PosixServer):
    """Does something before and after it serves."""

    def run_server(self) -> None:
        write(f"before {os.getpid()}")
        super().run_server()
        write(f"after {os.getpid()}")


class GreenWrapped(PosixServer):
    """Waits for other greenlets before and after it serves."""

    def run_server(self) -> None:
        import eventlet

        eventlet.sleep(0.01)
        write(f"before {os.getpid()}")
        super().run_server()
        eventlet.sleep(0.01)
        write(f"after {os.getpid()}")


class Tidy(PosixServer):
    """Clears up when it is left, and says whether it was left by the end of serving."""

    def run_server(self) -> None:
        try:
            super().run_server()
            write("served")
        finally:
            write("cleared")


class Twice(PosixServer):
    """Serves once more when it has served."""

    def run_server(self) -> None:
        super().run_server()
        super().run_server()


class OldHabits(PosixServer):
    """Installs the signal handlers by itself, as the servers of the seeds did."""

    def start_wsgi(self) -> None:
        super().start_wsgi()
        self.set_signal_handler("SIGTERM", self.kill_children)
        self.set_signal_handler("SIGHUP", self.hup)


class Lazy(PosixServer):
    """Forgets to serve."""

    def run_server(self) -> None:
        return


class Broken(PosixServer):
    """Cannot serve."""

    def run_server(self) -> None:
        raise RuntimeError("broken before it served")


def write(line: str) -> None:
    """Appends to the file that `DIARY` names."""
    with Path(os.environ["DIARY"]).open("a") as file:
        file.write(f"{line}\n")
