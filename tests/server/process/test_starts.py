"""A start of which a part fails, or all of it for a while."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from server.process.support import Service, answer, both_engines, count, reload
from wsgi_server.errors import ExitStatus

pytestmark = pytest.mark.forks

#: The first worker to come is served at once, all others once there is a database.
ONE_AT_FIRST = """
import os
try:
    os.close(os.open("taken", os.O_CREAT | os.O_EXCL))
except FileExistsError:
    if not os.path.exists("database"):
        raise ValueError("there is no database")
"""
#: Nobody is, without one.
LATE_DATABASE = """
import os
with open("attempts", "a") as attempts:
    attempts.write("one more\\n")
if not os.path.exists("database"):
    raise ValueError("there is no database")
"""


def begin_with(service: Service, text: str) -> Path:
    """Puts `text` before the application; returns the file that is the database."""
    whole = service.application.read_text()
    head, mark, rest = whole.partition("from __future__ import annotations\n")
    service.application.write_text(head + mark + text + rest)
    return service.directory / "database"


@both_engines
def test_a_start_of_which_a_part_fails_serves_and_heals(service: Service) -> None:
    database = begin_with(service, ONE_AT_FIRST)
    server = service.start()
    server.wait_for_log("1 of 2 workers serve; the others are tried again")
    assert answer(server)["version"] == "one"
    assert "there is no database" in server.log()
    # A reload wants all of them, as ever.
    reload(server)
    assert "reload failed: cannot load" in server.log()
    database.touch()
    server.wait_for(
        "the other", lambda: count(server, r"ready after .* generation 1") == 2
    )
    assert len(server.worker_pids()) == 2
    reload(server)
    server.wait_for_log("generation 3 serves")


@pytest.mark.parametrize("options", [{"workers": 0}, {}, {"preload_app": True}])
def test_a_database_that_comes_late_is_waited_for(
    service: Service, options: dict[str, object]
) -> None:
    database = begin_with(service, LATE_DATABASE)
    service.configure(start_retry=600, **options)
    server = service.start(listens=False)
    attempts = service.directory / "attempts"
    wanted = 2 + 2 * (not options)

    def tried() -> bool:
        return attempts.exists() and len(attempts.read_text().splitlines()) >= wanted

    server.wait_for("another attempt", tried)
    assert re.search(r"there is no database; it is tried again for \d", server.log())
    assert "listening" not in server.log()
    database.touch()
    server.wait_for_log("listening on")
    server.urls = re.findall(r"listening on (\S+)", server.log())
    server.url = server.urls[0]
    assert answer(server)["version"] == "one"


@pytest.mark.parametrize("options", [{"workers": 0}, {}, {"preload_app": True}])
def test_it_is_not_waited_for_without_an_end(
    service: Service, options: dict[str, object]
) -> None:
    begin_with(service, LATE_DATABASE)
    service.configure(start_retry=0.5, **options)
    server = service.start(listens=False)
    assert server.wait() == ExitStatus.LOAD
    last = server.log().splitlines()[-1]
    assert re.match("wsgi-server: error: cannot load .*there is no database", last)


@pytest.mark.parametrize("workers", [0, 2])
def test_term_ends_the_attempts(service: Service, workers: int) -> None:
    begin_with(service, LATE_DATABASE)
    service.configure(start_retry=600, workers=workers)
    server = service.start(listens=False)
    server.wait_for_log("it is tried again")
    assert server.stop() == ExitStatus.OK


def test_a_new_binary_has_to_be_whole(service: Service) -> None:
    server = service.start()
    old = server.worker_pids()
    begin_with(service, ONE_AT_FIRST)
    service.configure(start_retry=600)
    server.send(signal.SIGUSR2)
    server.wait_for_log(r"upgrade: process \d+ failed; we go on")
    assert old <= server.worker_pids()
    assert answer(server)["version"] == "one"
