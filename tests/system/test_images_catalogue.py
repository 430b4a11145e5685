"""The example's database under many threads, many processes, and no data at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from images_api.catalogue import Catalogue, Content, ContentExists, NoSuchImage
from system.registry import EXAMPLE

ADD_MANY = """
import sys
from pathlib import Path
from images_api.catalogue import Catalogue
sys.stdin.readline()
catalogue = Catalogue(Path(sys.argv[1]))
for number in range(50):
    catalogue.add(f"{sys.argv[2]}-{number}", {})
    catalogue.change("shared", lambda old: {"count": old["count"] + 1})
"""

MAKE_TOGETHER = """
import multiprocessing
import sys
from pathlib import Path
from images_api.catalogue import Catalogue

def make(path, barrier, outcomes):
    barrier.wait()
    try:
        outcomes.put(Catalogue(path).page(1, None))
    except Exception as exc:
        outcomes.put(exc)

fork = multiprocessing.get_context("fork")
outcomes, number = fork.SimpleQueue(), 6
for attempt in range(30):
    barrier = fork.Barrier(number)
    path = Path(sys.argv[1], f"{attempt}.sqlite3")
    children = [fork.Process(target=make, args=(path, barrier, outcomes)) for _ in range(number)]
    for child in children:
        child.start()
    for child in children:
        assert outcomes.get() == []
    for child in children:
        child.join()
print(30 * number, "made")
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "catalogue.sqlite3")


def test_processes_share_the_database(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite3"
    catalogue = Catalogue(path)
    catalogue.add("shared", {"count": 0})
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADD_MANY, str(path), f"process{number}"],
            env={"PYTHONPATH": str(EXAMPLE)},
            stdin=subprocess.PIPE,
        )
        for number in range(3)
    ]
    for process in processes:
        process.communicate(b"go\n", timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(catalogue.page(1000, None)) == 151
    assert catalogue.get("shared").properties == {"count": 150}


@pytest.mark.forks
def test_processes_can_make_the_database_at_the_same_time(tmp_path: Path) -> None:
    run = [sys.executable, "-c", MAKE_TOGETHER, str(tmp_path)]
    env = {"PYTHONPATH": str(EXAMPLE)}
    done = subprocess.run(run, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "180 made\n"


def test_threads_share_the_catalogue(catalogue: Catalogue) -> None:
    catalogue.add("shared", {"count": 0})

    def count(_: int) -> None:
        catalogue.change("shared", lambda old: {"count": old["count"] + 1})

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(count, range(100)))) == 100
    assert catalogue.get("shared").properties == {"count": 100}


def test_of_many_uploads_at_once_one_wins(catalogue: Catalogue) -> None:
    catalogue.add("first", {})

    def attach(number: int) -> str:
        try:
            image = catalogue.attach("first", Content(str(number), number, ""))
        except ContentExists:
            return "refused"
        assert image.content is not None
        return str(image.content.file)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attach, range(20)))
    (winner,) = set(outcomes) - {"refused"}
    content = catalogue.get("first").content
    assert content is not None
    assert content.file == winner
    assert outcomes.count("refused") == 19


def test_a_change_that_fails_changes_nothing(catalogue: Catalogue) -> None:
    catalogue.add("first", {"os": "debian"})

    def fail(properties: object) -> dict[str, object]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        catalogue.change("first", fail)
    assert catalogue.get("first").properties == {"os": "debian"}
    # The connection that was used before is fit for the next transaction.
    assert catalogue.change("first", lambda _: {}).properties == {}


def test_images_stay_when_the_service_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite3"
    first = Catalogue(path)
    first.add("first", {})
    del first
    again = Catalogue(path)
    assert again.get("first").name == "first"
    with pytest.raises(NoSuchImage):
        again.get("second")


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite3"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Catalogue(path)
