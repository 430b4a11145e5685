"""What a paste file says, section by section, without creating anything of it.

PasteDeploy itself only follows the one name it is asked for; this reads every section,
so that all faults are found at once and the whole can be drawn.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from paste.deploy import loadwsgi

from ._factories import (
    AppFactory,
    FilterFactory,
    app_factory,
    filter_factory,
    missing_key,
)
from ._imports import import_callable
from ._ini import IniLoader, as_load_error
from .errors import LoadError, MissingSection, MissingSetting

#: What a section makes, by the word before the colon of its title.
_KINDS: Final = {
    "app": loadwsgi.APP,
    "application": loadwsgi.APP,
    "composite": loadwsgi.APP,
    "composit": loadwsgi.APP,
    "pipeline": loadwsgi.APP,
    "filter-app": loadwsgi.APP,
    "filter": loadwsgi.FILTER,
    "server": loadwsgi.SERVER,
}
#: The setting without which a factory of ours makes nothing.
_NEEDED: Final = (
    (app_factory, str(AppFactory.KEY)),
    (filter_factory, str(FilterFactory.KEY)),
)
_COMPOSITES: Final = ("composite", "composit")


@dataclass(frozen=True, eq=False)
class Section:
    """One section: ``title`` stands in the brackets, ``kind`` before the colon."""

    title: str
    kind: str
    name: str
    settings: dict[str, str]

    @property
    def is_application(self) -> bool:
        return _KINDS[self.kind] is loadwsgi.APP

    @property
    def made_by(self) -> str:
        """The callable that a generic factory is told to use, else the factory."""
        named = generic_factory_setting(self) or next(
            (
                key
                for key in self.settings
                if key in ("use", "pipeline") or key.startswith("paste.")
            ),
            None,
        )
        return "" if named is None else " ".join(self.settings[named].split())


def generic_factory_setting(section: Section) -> str | None:
    """Returns the ``KEY`` that a factory of our kind reads, any ``x.app_factory``."""
    for key in section.settings:
        group, _, role = key.rpartition(".")
        if role in ("app_factory", "filter_factory") and group not in ("", "paste"):
            return key
    return None


@dataclass(frozen=True)
class Member:
    """A name in a setting; ``section`` is None where the file has none of that name."""

    name: str
    kind: object
    section: Section | None


@dataclass(frozen=True)
class Branch:
    """Something a section leads to: the members of one setting, as a request meets them.

    ``label`` is the setting, empty where the kind of the section says it already.
    """

    label: str
    members: tuple[Member, ...]


class Outline:
    """The sections of the paste file ``path``, in its order.

    Sections that are not PasteDeploy's, such as ``[loggers]``, are left out. Raises
    ``LoadError`` when the file cannot be read or parsed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._loader = IniLoader(path)
        self.sections: dict[str, Section] = {}
        for title in self._loader.parser.sections():
            kind, _, name = title.partition(":")
            if kind in _KINDS:
                section = Section(
                    title, kind, name.strip() or "main", self._settings(title)
                )
                self.sections[title] = section

    def _settings(self, title: str) -> dict[str, str]:
        """Returns values as a load would find them; as written where it would fail."""
        settings = self._loader.settings(title)
        for key in settings:
            with suppress(configparser.InterpolationError):
                settings[key] = self._loader.parser.get(title, key)
        return settings

    def application(self, name: str) -> Section:
        """Returns the application ``name``; raises ``MissingSection``."""
        return self.sections[self._loader.find_config_section(loadwsgi.APP, name)]

    def roots(self) -> list[Section]:
        """Returns the applications no other one uses; all of them if each is used."""
        applications = [
            each
            for each in self.sections.values()
            if each.is_application and not self._is_hidden(each)
        ]
        used = {
            member.section
            for each in applications
            for branch in self.branches(each)
            for member in branch.members
        }
        return [each for each in applications if each not in used] or applications

    def branches(self, section: Section) -> list[Branch]:
        """Returns what ``section`` leads to, in the order of its settings."""
        found = []
        # A filter-app is a filter and the application that comes next.
        filters_next = section.kind == "filter-app"
        for key, value in section.settings.items():
            names = value.split()
            if section.kind == "pipeline" and key == "pipeline":
                found.append(self._branch("", names))
            elif key == "filter-with" and section.kind != "server":
                found.append(self._branch(key, [value], last=loadwsgi.FILTER))
            elif key == "next" and filters_next:
                found.append(self._branch(key, [value]))
            elif key == "use":
                if not self._loader.absolute_name(value):
                    made = loadwsgi.FILTER if filters_next else _KINDS[section.kind]
                    found.append(self._branch(key, [value], last=made))
            elif section.kind in _COMPOSITES and names:
                # A composite's factory alone knows what its settings mean. A path is
                # where an application is mounted, in every one that is about; of others
                # those whose every word is a section are taken for names of sections.
                named = self._find(loadwsgi.APP, value) is not None
                branch = self._branch(key, [value] if named else names)
                mounted = key.startswith("/") and len(names) == 1
                if mounted or all(member.section for member in branch.members):
                    found.append(branch)
        return found

    def faults(self, *, imports: bool) -> list[LoadError]:
        """Returns what would keep a section from loading; empty when all is well.

        With ``imports`` every factory is imported as well.
        """
        loader = IniLoader(self.path, imports=imports)
        # A fault shows again in each section that leads to it, with the same place.
        found: dict[str, LoadError] = {}
        loaded = [each for each in self.sections.values() if not self._is_hidden(each)]
        used = {
            member.section
            for each in loaded
            for branch in self.branches(each)
            if branch.label == "use"
            for member in branch.members
        }
        for section in loaded:
            for fault in self._faults_of(section, loader):
                # Whoever uses a section may set what it gets, and what is missing.
                if not (section in used and _is_unset(fault, section)):
                    found.setdefault(str(fault), fault)
        return list(found.values())

    def _is_hidden(self, section: Section) -> bool:
        """Tells whether another spelling of its kind has its name: it never loads."""
        return self._find(_KINDS[section.kind], section.name) not in (None, section)

    def tree(self, roots: Sequence[Section]) -> Iterator[str]:
        """Yields lines that draw what requests to ``roots`` pass, each part once."""
        drawn: set[Section] = set()
        for root in roots:
            yield from self._section(root, "", "", drawn)

    def _section(
        self, section: Section, lead: str, indent: str, drawn: set[Section]
    ) -> Iterator[str]:
        branches = self.branches(section)
        if branches and section in drawn:
            yield f"{lead}[{section.title}]  (as above)"
            return
        drawn.add(section)
        yield lead + _described(section)
        for number, branch in enumerate(branches):
            if not branch.label:
                yield from self._members(branch.members, indent, drawn)
                continue
            corner, below = _corner(number, branches)
            if len(branch.members) == 1:
                label = f"{indent}{corner}{branch.label}: "
                yield from self._member(branch.members[0], label, indent + below, drawn)
            else:
                yield f"{indent}{corner}{branch.label}:"
                yield from self._members(branch.members, indent + below, drawn)

    def _members(
        self, members: tuple[Member, ...], indent: str, drawn: set[Section]
    ) -> Iterator[str]:
        for number, member in enumerate(members):
            corner, below = _corner(number, members)
            yield from self._member(member, indent + corner, indent + below, drawn)

    def _member(
        self, member: Member, lead: str, indent: str, drawn: set[Section]
    ) -> Iterator[str]:
        if member.section is not None:
            yield from self._section(member.section, lead, indent, drawn)
        elif self._loader.absolute_name(member.name):
            yield f"{lead}{member.name}"
        else:
            yield f"{lead}{member.name}  (no such section)"

    def _branch(
        self, label: str, names: list[str], last: object = loadwsgi.APP
    ) -> Branch:
        kinds = [*[loadwsgi.FILTER] * (len(names) - 1), last]
        return Branch(
            label,
            tuple(
                Member(name, kind, self._find(kind, name))
                for name, kind in zip(names, kinds, strict=False)
            ),
        )

    def _find(self, kind: object, name: str) -> Section | None:
        try:
            return self.sections[self._loader.find_config_section(kind, name)]
        except MissingSection:
            return None

    def _faults_of(self, section: Section, loader: IniLoader) -> list[LoadError]:
        faults: list[LoadError] = []

        @contextmanager
        def collected() -> Iterator[None]:
            try:
                yield
            # Importing runs a stranger's code, which may also call sys.exit().
            except (Exception, SystemExit) as exc:  # noqa: BLE001
                faults.append(as_load_error(exc, f"{self.path}: [{section.title}]"))

        for branch in self.branches(section):
            for member in branch.members:
                if not loader.absolute_name(member.name):
                    with collected(), loader.inside(section.title):
                        loader.find_config_section(member.kind, member.name)
        with collected():
            # A title without a name is what a factory gets that asks for none.
            name = section.name if ":" in section.title else None
            context = loader.get_context(_KINDS[section.kind], name)
            with loader.inside(section.title):
                for factory, needed in _NEEDED:
                    if context.object is factory and needed not in context.local_conf:
                        raise missing_key(needed)
        key = generic_factory_setting(section)
        if key is not None and loader.imports:
            with collected(), loader.inside(section.title):
                import_callable(section.settings[key], key=key)
        return faults


def _is_unset(fault: LoadError, section: Section) -> bool:
    """Tells whether a fault is a value that whoever uses the section may set."""
    if not isinstance(fault, MissingSetting) or fault.section != section.title:
        return False
    key = fault.key or ""
    return key.startswith("get ") or any(key == needed for _, needed in _NEEDED)


def _described(section: Section) -> str:
    made_by = "" if section.kind == "pipeline" else section.made_by
    return f"[{section.title}]  {made_by}".rstrip()


def _corner(number: int, siblings: Sequence[object]) -> tuple[str, str]:
    """Returns what leads to this one of ``siblings``, and to all below it."""
    return ("`-- ", "    ") if number == len(siblings) - 1 else ("|-- ", "|   ")
