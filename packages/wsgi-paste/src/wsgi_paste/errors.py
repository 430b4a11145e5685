"""What can be wrong with a paste file, in words for whoever wrote it.

Each error is one line that begins with the file, the section and the key it is about,
and belongs to the builtin family a caller of PasteDeploy has always caught: a missing
section is a ``LookupError``, a factory that cannot be imported an ``ImportError``, and
so on.
"""

from __future__ import annotations


class LoadError(Exception):
    """Base of the errors that a paste file can cause.

    ``problem`` says what is wrong; ``file``, ``section`` and ``key`` say where, each
    None while it is not known.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        section: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.file = file
        self.section = section
        self.key = key

    def locate(self, file: str, section: str, key: str | None = None) -> None:
        """Fills in the place, unless one was found closer to the fault."""
        if self.section is None:
            if self.file not in (None, file):
                # One file uses another: the place is where the first one says so.
                self.problem = f"{self.file}: {self.problem}"
            self.file, self.section = file, section
            self.key = self.key or key

    def __str__(self) -> str:
        place = [part for part in (self._section_text(), self.key) if part]
        where = [part for part in (self.file, " ".join(place)) if part]
        return " ".join(": ".join([*where, self.problem]).split())

    def _section_text(self) -> str | None:
        return None if self.section is None else f"[{self.section}]"


class UnreadableFile(LoadError, OSError):
    """The file cannot be opened or read."""


class MissingSection(LoadError, LookupError):
    """No section of the wanted kind has the wanted name, or more than one has it."""

    def __init__(
        self, problem: str, *, name: str | None = None, file: str | None = None
    ) -> None:
        super().__init__(problem, file=file)
        self.name = name


class MissingSetting(LoadError, LookupError):
    """A section lacks a key, or names something that does not exist."""


class InvalidSetting(LoadError, LookupError, ValueError):
    """The file does not parse, or a value has the wrong form."""


class ImportFailed(LoadError, ImportError):
    """A value names a module, attribute or distribution that cannot be imported."""


class FactoryFailed(LoadError, ValueError):
    """A factory raised while it made what it makes; ``__cause__`` tells more."""
