"""The metadata of the images, in SQLite.

Several worker processes share the database file, and threads or greenlets share this
object. A connection is used by one of them at a time: taken from the idle ones, put
back after. Nothing here waits between the first and the last statement of a
transaction, so under greenlets a connection is never in use twice.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

Properties = Mapping[str, Any]

BUSY_TIMEOUT = 10.0
"""Seconds to wait for another process's write; each takes about a millisecond."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    properties TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    file       TEXT,
    size       INTEGER,
    sha256     TEXT
)
"""
_COLUMNS = "name, properties, created_at, updated_at, file, size, sha256"


class CatalogueError(Exception):
    """What a client asked for does not go with what the catalogue holds."""


class NoSuchImage(CatalogueError):
    """There is no image of that name."""


class ImageExists(CatalogueError):
    """There is an image of that name already."""


class ContentExists(CatalogueError):
    """The image has its content already; content never changes."""


@dataclass(frozen=True)
class Content:
    """The bytes of an image: the file that holds them, their number and checksum."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Image:
    """One image as the catalogue knows it; `content` is None until it was uploaded."""

    name: str
    properties: Properties
    created_at: str
    updated_at: str
    content: Content | None


class Catalogue:
    """The images by name; makes its database when it is missing.

    Every method raises `sqlite3.Error` when the database cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: deque[sqlite3.Connection] = deque()
        # A server that reloads in place drops the old application, and this with it.
        weakref.finalize(self, _close, self._idle)
        # The lock: SQLite refuses, without waiting, to let two processes at once turn
        # on the write-ahead log. Closed again: no connection may go through a fork.
        with _locked(path.with_suffix(".lock")), closing(self._connect()) as connection:
            # Readers do not wait for a writer then; the file remembers the setting.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_SCHEMA)

    def page(self, limit: int, after: str | None) -> Sequence[Image]:
        """Up to `limit` images in the order of creation, from behind the name `after`.

        Raises `NoSuchImage` when `after` names none.
        """
        with self._connection() as connection:
            start = 0 if after is None else _position(connection, after)
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM images WHERE position > ? "
                "ORDER BY position LIMIT ?",
                (start, limit),
            )
            return [_image(row) for row in rows]

    def get(self, name: str) -> Image:
        """The image; raises `NoSuchImage`."""
        with self._connection() as connection:
            return _find(connection, name)

    def add(self, name: str, properties: Properties) -> Image:
        """Adds an image without content; raises `ImageExists`."""
        now = _now()
        with self._transaction() as connection:
            try:
                connection.execute(
                    "INSERT INTO images (name, properties, created_at, updated_at) "
                    "VALUES (?, ?, ?, ?)",
                    (name, json.dumps(properties), now, now),
                )
            except sqlite3.IntegrityError as exc:
                raise ImageExists(f"{name} exists already") from exc
            return _find(connection, name)

    def change(self, name: str, change: Callable[[Properties], Properties]) -> Image:
        """Replaces the properties by `change(properties)`, in one transaction.

        Raises `NoSuchImage`, and what `change` raises; then nothing has changed.
        """
        with self._transaction() as connection:
            properties = change(_find(connection, name).properties)
            connection.execute(
                "UPDATE images SET properties = ?, updated_at = ? WHERE name = ?",
                (json.dumps(properties), _now(), name),
            )
            return _find(connection, name)

    def attach(self, name: str, content: Content) -> Image:
        """Gives the image its content. Of several uploads at once, the first one wins.

        Raises `NoSuchImage` and `ContentExists`.
        """
        with self._transaction() as connection:
            if _find(connection, name).content is not None:
                raise ContentExists(f"{name} has content already")
            connection.execute(
                "UPDATE images SET file = ?, size = ?, sha256 = ?, updated_at = ? "
                "WHERE name = ?",
                (content.file, content.size, content.sha256, _now(), name),
            )
            return _find(connection, name)

    def remove(self, name: str) -> Image:
        """Removes the image and returns what it was; raises `NoSuchImage`."""
        with self._transaction() as connection:
            image = _find(connection, name)
            connection.execute("DELETE FROM images WHERE name = ?", (name,))
            return image

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,  # transactions begin where the code says so
            check_same_thread=False,  # one user at a time, but any thread
        )
        try:
            # With a write-ahead log this can lose the last commits when the machine
            # loses power, but never damages the database.
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            # IMMEDIATE: a transaction that reads first and is refused the write lock
            # later could not wait for it.
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.execute("COMMIT")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _close(connections: deque[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def _find(connection: sqlite3.Connection, name: str) -> Image:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM images WHERE name = ?", (name,)
    ).fetchone()
    if row is None:
        raise NoSuchImage(f"there is no image {name}")
    return _image(row)


def _position(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute(
        "SELECT position FROM images WHERE name = ?", (name,)
    ).fetchone()
    if row is None:
        raise NoSuchImage(f"there is no image {name}")
    return int(row[0])


def _image(row: tuple[Any, ...]) -> Image:
    name, properties, created_at, updated_at, file, size, sha256 = row
    content = None if file is None else Content(file, size, sha256)
    return Image(name, json.loads(properties), created_at, updated_at, content)


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
