"""PasteDeploy's ini loader, made to say where in the file a fault is.

PasteDeploy builds a tree of contexts (one for each section it meets) and then creates
objects from it, leaf by leaf. ``IniLoader`` follows both steps, gives every error the
file, section and key that it met first, refuses sections that refer to themselves, and
reads files whose path contains a ``%`` or a ``#``.

Everything that touches PasteDeploy's inner methods stands here and in ``_contexts``.
"""

from __future__ import annotations

import configparser
import importlib.metadata
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from paste.deploy import loadwsgi

from ._contexts import (
    FILTERED_APP,
    CalledContext,
    LocatedContext,
    chosen_protocol,
    egg_context,
    protocols_of,
)
from ._imports import import_callable
from .errors import (
    FactoryFailed,
    ImportFailed,
    InvalidSetting,
    LoadError,
    MissingSection,
    MissingSetting,
    UnreadableFile,
)

#: The sections being resolved or created, outermost first, as (file, section).
_open_sections: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("open", default=())


class IniLoader(loadwsgi.ConfigLoader):  # type: ignore[misc]  # paste has no types
    """One paste file, read once; ``global_conf`` is as if it stood in ``[DEFAULT]``.

    Without ``imports`` contexts have no objects: enough to see whether they would
    resolve. Raises ``UnreadableFile`` or ``InvalidSetting`` when the file cannot be
    read or parsed.
    """

    def __init__(
        self,
        path: str,
        global_conf: Mapping[str, str] | None = None,
        *,
        imports: bool = True,
    ) -> None:
        self.filename = path
        self.imports = imports
        absolute = os.path.abspath(path)
        self.parser = loadwsgi.NicerConfigParser(
            path,
            defaults={
                # Interpolation would take a % in the path for its own.
                "here": _escaped(os.path.dirname(absolute)),
                "__file__": _escaped(absolute),
            },
        )
        self.parser.optionxform = str
        try:
            text = Path(path).read_text(encoding="utf-8")
            self.parser.read_string(text, path)
        except OSError as exc:
            raise UnreadableFile(
                f"cannot read it: {exc.strerror or exc}", file=path
            ) from exc
        except UnicodeDecodeError as exc:
            raise InvalidSetting(f"not UTF-8 text: {exc.reason}", file=path) from exc
        except configparser.Error as exc:
            raise InvalidSetting(_parser_message(exc, text), file=path) from exc
        defaults = self.parser._defaults
        for key, value in (global_conf or {}).items():
            defaults.setdefault(key, _escaped(value))

    def get_context(
        self,
        object_type: Any,
        name: str | None = None,
        global_conf: dict[str, str] | None = None,
    ) -> Any:
        """Returns the context of the section ``name`` of this kind, or of a URI.

        URIs are ``config:other.ini#name``, ``egg:dist#name`` and ``call:mod:func``.
        """
        if name is not None and self.absolute_name(name):
            return self._from_uri(object_type, name, global_conf)
        section = self.find_config_section(object_type, name)
        with self.inside(section):
            self._check_references(section, global_conf or {})
            context = super().get_context(object_type, name, global_conf)
        if context.object_type is loadwsgi.FILTER_WITH and object_type is loadwsgi.APP:
            context.object_type = FILTERED_APP
        return LocatedContext(context, object_type, self, section)

    def find_config_section(self, object_type: Any, name: str | None = None) -> str:
        """Returns the section of this kind and name; raises ``MissingSection``."""
        found: list[str] = []
        for group in object_type.config_prefixes:
            for prefix in group:
                # Spellings of one kind: the first that is there hides the others.
                if sections := self._find_sections(
                    self.parser.sections(), prefix, name
                ):
                    found += sections
                    break
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(f"[{section}]" for section in found)
            problem = f"{name!r} is ambiguous: {listed}"
        else:
            # The first of each group is the spelling to recommend.
            wanted = [f"[{group[0]}:{name}]" for group in object_type.config_prefixes]
            problem = f"there is no section {' or '.join(wanted)}"
            present = ", ".join(f"[{each}]" for each in self.parser.sections())
            problem += f"; the file has {present or 'no section'}"
        raise MissingSection(problem, name=name, file=self.filename)

    @contextmanager
    def inside(self, section: str) -> Iterator[None]:
        """Locates what is raised in the block, and refuses to enter a section twice."""
        place = (os.path.realpath(self.filename), section)
        entered = _open_sections.get()
        if place in entered:
            circle = [*entered[entered.index(place) :], place]
            raise InvalidSetting(
                "refers to itself: " + " -> ".join(f"[{name}]" for _, name in circle),
                file=self.filename,
                section=section,
            )
        token = _open_sections.set((*entered, place))
        try:
            yield
        except LoadError as exc:
            exc.locate(self.filename, section, self._key_behind(exc, section))
            raise
        except configparser.InterpolationError as exc:
            raise InvalidSetting(
                "a % must be written %%, or be part of %(name)s with a known name",
                file=self.filename,
                section=exc.section,
                key=exc.option,
            ) from exc
        except Exception as exc:
            _add_note(exc, f"{self.filename}: [{section}]")
            raise
        finally:
            _open_sections.reset(token)

    def settings(self, section: str) -> dict[str, str]:
        """Returns the section's own settings as written, without ``[DEFAULT]``."""
        return dict(self.parser._sections[section])

    def _key_behind(self, exc: LoadError, section: str) -> str | None:
        """Returns the key whose value names the section that is missing."""
        name = getattr(exc, "name", None)
        for key, value in self.settings(section).items():
            if name is not None and name in (value, *value.split()):
                return key
        return None

    def _check_references(self, section: str, global_conf: Mapping[str, str]) -> None:
        """Raises where PasteDeploy would raise an exception that names no key."""
        keys = self.settings(section)
        known = {key.removeprefix("set ").strip() for key in keys if key[:4] == "set "}
        known |= {*global_conf, *self.parser.defaults()}
        for key in keys:
            value = self.parser.get(section, key)
            if key.startswith("get ") and value not in known:
                raise MissingSetting(f"there is no {value} in [DEFAULT]", key=key)
            if key == "require":
                for name in value.split():
                    try:
                        importlib.metadata.distribution(name)
                    except ImportError as exc:
                        raise ImportFailed(str(exc), key=key) from exc

    def _from_uri(
        self, object_type: Any, uri: str, global_conf: dict[str, str] | None
    ) -> Any:
        scheme, _, rest = uri.partition(":")
        if scheme.lower() == "config":
            path, name = split_name(rest, lambda path: os.path.isfile(self._file(path)))
            other = IniLoader(self._file(path), global_conf, imports=self.imports)
            return other.get_context(object_type, name or "main", global_conf)
        if scheme.lower() == "egg" and self.imports:
            distribution, _, name = rest.partition("#")
            return egg_context(object_type, distribution, name or None, global_conf)
        if scheme.lower() in ("egg", "call"):
            found = import_callable(rest) if self.imports else None
            return CalledContext(found, object_type, None, global_conf or {}, {}, self)
        raise InvalidSetting(
            f"{uri!r} has an unknown scheme (known: config, egg, call; "
            f"a callable is written call:{uri})"
        )

    def _file(self, path: str) -> str:
        """Returns the path of another file, as PasteDeploy reads it in a URI."""
        folder = os.path.dirname(self.filename)
        return os.path.join(folder, unquote(path.replace("\\", "/")))

    def _context_from_use(
        self,
        object_type: Any,
        local_conf: dict[str, str],
        global_conf: dict[str, str],
        global_additions: dict[str, str],
        section: str,
    ) -> Any:
        try:
            return super()._context_from_use(
                object_type, local_conf, global_conf, global_additions, section
            )
        except LoadError as exc:
            exc.locate(self.filename, section, "use")
            raise

    def _context_from_explicit(
        self,
        object_type: Any,
        local_conf: dict[str, str],
        global_conf: dict[str, str],
        global_additions: dict[str, str],
        section: str,
    ) -> Any:
        protocol = chosen_protocol(object_type, local_conf)
        if protocol is None:
            listed = " = or ".join(protocols_of(object_type))
            raise MissingSetting(
                f"nothing says what to load: write use = or {listed} ="
            )
        spec = local_conf.pop(protocol)
        found = import_callable(spec, key=protocol) if self.imports else None
        return loadwsgi.LoaderContext(
            found, object_type, protocol, global_conf, local_conf, self
        )

    def _pipeline_app_context(
        self, object_type: Any, section: str, *, local_conf: dict[str, str], **rest: Any
    ) -> Any:
        _require(local_conf, "pipeline")
        if not local_conf["pipeline"].split():
            raise InvalidSetting("name at least an application", key="pipeline")
        for key in local_conf:
            if key != "pipeline":
                raise InvalidSetting("a pipeline takes no settings of its own", key=key)
        return super()._pipeline_app_context(
            object_type, section, local_conf=local_conf, **rest
        )

    def _filter_app_context(
        self, object_type: Any, section: str, *, local_conf: dict[str, str], **rest: Any
    ) -> Any:
        _require(local_conf, "next")
        return super()._filter_app_context(
            object_type, section, local_conf=local_conf, **rest
        )


def split_name(text: str, is_file: Callable[[str], bool]) -> tuple[str, str | None]:
    """Returns path and name of ``path#name``; the name is None where there is none.

    A path may contain a ``#`` itself: the first cut that leaves a file counts, and
    where none does, the last.
    """
    cuts = [at for at, character in enumerate(text) if character == "#"]
    for cut in [*cuts, len(text)]:
        if is_file(text[:cut]):
            return text[:cut], text[cut + 1 :] or None
    path, _, name = text.rpartition("#")
    if not path or "/" in name or "\\" in name:
        return text, None
    return path, name or None


def _require(local_conf: Mapping[str, str], key: str) -> None:
    if key not in local_conf:
        raise MissingSetting("this setting is missing", key=key)


def _escaped(value: str) -> str:
    return value.replace("%", "%%")


def _parser_message(exc: configparser.Error, text: str) -> str:
    if isinstance(exc, configparser.MissingSectionHeaderError):
        return f"line {exc.lineno}: a [section] must come before {exc.line.strip()!r}"
    if isinstance(exc, configparser.DuplicateSectionError):
        return f"line {exc.lineno}: [{exc.section}] stands here a second time"
    if isinstance(exc, configparser.DuplicateOptionError):
        return f"line {exc.lineno}: [{exc.section}] {exc.option} is set a second time"
    # The line that comes with the number is its repr before Python 3.13.
    lineno, _ = cast("configparser.ParsingError", exc).errors[0]
    line = text.splitlines()[lineno - 1].strip()
    return f"line {lineno}: neither a [section] nor a setting: {line!r}"


_NOTE = "while loading "


def _add_note(exc: BaseException, place: str) -> None:
    """Notes on ``exc`` where it came from, as PEP 678 does, on 3.10 as well."""
    notes = getattr(exc, "__notes__", None)
    if notes is None:
        notes = []
        exc.__notes__ = notes  # type: ignore[attr-defined]  # 3.10 does not know it
    notes.append(f"{_NOTE}{place}")


def as_load_error(exc: Exception | SystemExit, place: str) -> LoadError:
    """Returns ``exc`` if it is a ``LoadError``, else a ``FactoryFailed`` caused by it.

    ``place`` is where it came from, unless a loader has noted a closer one on it.
    """
    if isinstance(exc, LoadError):
        return exc
    notes = getattr(exc, "__notes__", ())
    # The innermost section comes first; a factory may have left notes of its own.
    places = [note for note in notes if note.startswith(_NOTE)] or [f"{_NOTE}{place}"]
    failed = FactoryFailed(
        f"{places[0].removeprefix(_NOTE)}: {type(exc).__name__}: {exc}"
    )
    failed.__cause__ = exc
    return failed
