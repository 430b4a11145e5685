"""What PasteDeploy makes of a section: a context, which creates its object when it is asked.

Ours mend what PasteDeploy's do wrongly, and say where in the file a fault is. They and the
loader in `_ini` are all that touches its inner methods.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Container
from contextlib import AbstractContextManager
from typing import Any, Protocol

from paste.deploy import loadwsgi

from ._imports import import_callable
from .errors import ImportFailed, InvalidSetting, MissingSetting


class Place(Protocol):
    """A loader, as far as a context needs it."""

    def inside(self, section: str) -> AbstractContextManager[None]:
        """Locates what is raised in the block."""


class FilteredApp(loadwsgi._FilterWith):  # type: ignore[misc]  # paste has no types
    """An application of any kind behind the filter of its ``filter-with``.

    PasteDeploy takes all that is no plain application for a filter: a pipeline, a
    filter-app, another section that has a filter of its own.
    """

    def invoke(self, context: Any) -> Any:
        made_filter = context.filter_context.create()
        return made_filter(context.next_context.create())


FILTERED_APP = FilteredApp()


class CalledContext(loadwsgi.LoaderContext):  # type: ignore[misc]  # paste has no types
    """The context of a ``call:``, which names a factory without its protocol.

    A section that uses it sets the protocol of its kind. In other places, and for a
    filter-app, PasteDeploy knows none, and it is the one for what is wanted there.
    """

    protocol: str | None

    def create(self) -> Any:
        protocols = protocols_of(self.object_type)
        if self.protocol not in protocols:
            self.protocol = protocols[0]
        return super().create()


class LocatedContext(loadwsgi.LoaderContext):  # type: ignore[misc]  # paste has no types
    """A context that creates its object inside the section it came from."""

    def __init__(
        self, context: Any, object_type: Any, loader: Place, section: str
    ) -> None:
        # PasteDeploy sets attributes of contexts from outside, `loader` among them.
        self.__dict__.update(context.__dict__)
        self._place = (loader, section)
        self._makes_filter = object_type is loadwsgi.FILTER

    def create(self) -> Any:
        loader, section = self._place
        with loader.inside(section):
            made = super().create()
        if not self._makes_filter:
            return made

        def apply(app: Any) -> Any:
            with loader.inside(section):
                return made(app)

        return apply


def egg_context(
    object_type: Any,
    distribution: str,
    name: str | None,
    global_conf: dict[str, str] | None,
) -> Any:
    """Returns the context of an entry point of an installed distribution.

    Without a name it is ``main``. Raises ``ImportFailed`` when the distribution is not
    installed or the entry point cannot be imported, ``MissingSetting`` when it has no
    such entry point.
    """
    name = name or "main"
    uri = f"egg:{distribution}#{name}"
    try:
        entries = importlib.metadata.distribution(distribution).entry_points
    except ImportError as exc:
        raise ImportFailed(
            f"cannot import {uri}: {distribution} is not installed"
        ) from exc
    protocols = protocols_of(object_type)
    fitting = [entry for entry in entries if entry.group in protocols]
    named = {entry.group: entry for entry in fitting if entry.name == name}
    try:
        protocol = chosen_protocol(object_type, named)
    except InvalidSetting as exc:
        raise InvalidSetting(f"{uri} is ambiguous: {exc.problem}") from exc
    if protocol is not None:
        entry = named[protocol]
        return loadwsgi.LoaderContext(
            import_callable(f"{entry.module}:{entry.attr}"),
            object_type,
            protocol,
            global_conf or {},
            {},
            loadwsgi.EggLoader(distribution),
            entry_point_name=name,
        )
    offered = ", ".join(sorted({entry.name for entry in fitting})) or "nothing"
    raise MissingSetting(
        f"cannot find {uri}: {distribution} offers {offered} "
        f"under {', '.join(protocols)}"
    )


def protocols_of(object_type: Any) -> list[str]:
    """Returns the protocols that make such an object, the preferred ones first."""
    return [protocol for group in object_type.egg_protocols for protocol in group]


def chosen_protocol(object_type: Any, given: Container[str]) -> str | None:
    """Returns which protocol of those that are given makes the object, if one does.

    The first of several that mean the same kind of thing; raises ``InvalidSetting`` for
    several that do not.
    """
    groups = [
        [each for each in group if each in given] for group in object_type.egg_protocols
    ]
    chosen = [group[0] for group in groups if group]
    if len(chosen) > 1:
        raise InvalidSetting(f"only one of {' and '.join(chosen)} may be given")
    return chosen[0] if chosen else None
