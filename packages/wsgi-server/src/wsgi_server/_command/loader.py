"""Application URIs to WSGI callables.

`module:callable` is built in. Any other scheme is an entry point of the group
`wsgi_server.app_loaders`, named like the scheme: a callable that is given what follows the
colon and a `ConfigOpts`, and returns the application.

Whatever goes wrong becomes a `LoadError` of one line: what was loaded, where it failed,
what to do. The cause is chained, for those who want the traceback.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, distributions
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from wsgi_server.errors import LoadError

from .spelling import did_you_mean

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

GROUP: Final = "wsgi_server.app_loaders"

#: Loaders that others distribute, and what to install for them.
_PROVIDERS: Final = {"config": "wsgi-paste", "egg": "wsgi-paste"}

#: Errors whose text says all: the loaders' own faults belong to these families.
_EXPLAINED: Final = (LookupError, ValueError, ImportError, OSError)


def load(uri: str, conf: Any) -> WSGIApplication:
    """Returns the application that `uri` names.

    `uri` is `module:name`, `module:name.attribute` or `module:factory(literals...)`, or
    `SCHEME:REST` for an installed loader; `conf` (a `ConfigOpts`) is for loaders only.
    The current directory can be imported from, as with `python -m`. Raises `LoadError`.
    """
    sys.path[:] = _search_path()
    scheme, colon, rest = uri.partition(":")
    if not colon or not rest:
        raise LoadError(f"cannot load {uri!r}: {_what_to_write(uri)}")
    entry = _find_loader(scheme)
    with _faults(uri, explained=entry is not None):
        app = entry.load()(rest, conf) if entry else _load_object(uri, scheme, rest)
    return _checked(uri, app)


def look_up() -> None:
    """Finds the loaders that are installed now, once for all workers that are forked later.

    In each of them it would take a megabyte and more.
    """
    _installed_in.cache_clear()
    _installed()


def _installed() -> Mapping[str, EntryPoint]:
    """The loaders by scheme; of two with one name the first on the path counts."""
    return _installed_in(tuple(_search_path()))


@functools.lru_cache(maxsize=1)
def _installed_in(path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for distribution in distributions(path=list(path)):
        # To parse the entry points of everything takes three times as long.
        if GROUP in (distribution.read_text("entry_points.txt") or ""):
            for entry in distribution.entry_points.select(group=GROUP):
                found.setdefault(entry.name, entry)
    return found


def _find_loader(scheme: str) -> EntryPoint | None:
    if entry := _installed().get(scheme):
        return entry
    if scheme in _PROVIDERS:
        raise LoadError(
            f"no loader for {scheme}: applications is installed: "
            f"pip install {_PROVIDERS[scheme]}"
        )
    return None


def _what_to_write(uri: str) -> str:
    name = uri.rstrip(":")
    if name.endswith((".ini", ".conf")):
        return f"for a paste file write config:{name}#main"
    if name.endswith(".py"):
        return f"write the module and a name in it, such as {name[:-3]}:application"
    return f"write the name of the application as well, such as {name}:application"


def _load_object(uri: str, name: str, expression: str) -> Any:
    if not all(part.isidentifier() for part in name.split(".")):
        schemes = ", ".join(f"{scheme}:" for scheme in sorted(_installed())) or "none"
        raise LoadError(
            f"cannot load {uri}: {name!r} is neither a module nor a loader that is "
            f"installed ({schemes})"
        )
    path, arguments = _parse_expression(uri, expression)
    found: Any = _import_module(uri, name)
    place = f"module {name}"
    for attribute in path:
        try:
            found = getattr(found, attribute)
        except AttributeError as exc:
            if exc.obj is not found or exc.name != attribute:
                # A module's or a property's own code failed while it was asked.
                raise
            hint = did_you_mean(attribute, dir(found))
            raise LoadError(
                f"cannot load {uri}: {place} has no attribute {attribute!r}{hint}"
            ) from exc
        place = f"{place}.{attribute}" if "." in place else f"{name}.{attribute}"
    if arguments is None:
        return found
    if not callable(found):
        raise LoadError(f"cannot load {uri}: {place} cannot be called")
    positional, named = arguments
    return found(*positional, **named)


def _parse_expression(
    uri: str, expression: str
) -> tuple[list[str], tuple[list[Any], dict[str, Any]] | None]:
    """Returns the attributes to follow, and the arguments to call the last one with."""
    try:
        node = ast.parse(expression, mode="eval").body
        arguments = None
        if isinstance(node, ast.Call):
            named = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
            arguments = [ast.literal_eval(value) for value in node.args], named
            node = node.func
        path: list[str] = []
        while isinstance(node, ast.Attribute):
            path.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            raise ValueError("neither a name nor a call")  # noqa: TRY301, TRY004
        path.append(node.id)
    except (SyntaxError, ValueError) as exc:
        raise LoadError(
            f"cannot load {uri}: {expression!r} is no name, name.attribute or "
            "factory() with literal arguments"
        ) from exc
    return path[::-1], arguments


def _import_module(uri: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{name}.".startswith(f"{exc.name}."):
            raise  # the module was found, and misses another
        parent, _, child = exc.name.rpartition(".")
        search = getattr(sys.modules.get(parent), "__path__", None)
        there = [module.name for module in pkgutil.iter_modules(search)]
        hint = did_you_mean(child, there)
        where = f"package {parent}" if parent else f"{os.getcwd()} and sys.path"
        raise LoadError(
            f"cannot load {uri}: there is no module {exc.name!r} in {where}{hint}"
        ) from exc


def _search_path() -> list[str]:
    """What can be imported from: the current directory as well, as with `python -m`."""
    here = os.getcwd()
    # Python itself leaves the directory out when it was told to be careful (-P, -I).
    careful = getattr(sys.flags, "safe_path", sys.flags.isolated)
    if careful or here in sys.path or "" in sys.path:
        return sys.path
    return [here, *sys.path]


@contextmanager
def _faults(uri: str, *, explained: bool) -> Iterator[None]:
    try:
        yield
    except LoadError:
        raise
    except SystemExit as exc:
        raise LoadError(
            f"cannot load {uri}: {_place(exc)}the application called "
            f"sys.exit({exc.code!r}) while it was loaded"
        ) from exc
    except Exception as exc:  # foreign code runs here: whatever it raises is its fault
        if explained and isinstance(exc, _EXPLAINED):
            raise LoadError(f"cannot load {uri}: {exc}") from exc
        raise LoadError(
            f"cannot load {uri}: {_place(exc)}{type(exc).__name__}: {exc}"
        ) from exc


def _place(exc: BaseException) -> str:
    """Returns `file:line: ` of the application's innermost line that is to blame."""
    if isinstance(exc, SyntaxError) and exc.filename:
        return f"{exc.filename}:{exc.lineno}: "
    frames = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if frame.filename not in (__file__, importlib.__file__)
        and not frame.filename.startswith("<frozen importlib")
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""


def _checked(uri: str, app: Any) -> WSGIApplication:
    wanted: WSGIApplication = app
    if not callable(app):
        raise LoadError(
            f"cannot load {uri}: it is of type {type(app).__name__}, which is not "
            "callable as a WSGI application is (PEP 3333)"
        )
    try:
        signature = inspect.signature(app, follow_wrapped=False)
    except (TypeError, ValueError):
        return wanted  # written in C, perhaps: the first request will tell
    try:
        signature.bind({}, None)
    except TypeError as exc:
        hint = ""
        if ":" in uri and not uri.endswith(")") and _takes_nothing(signature):
            hint = f"; if it makes the application write '{uri}()'"
        raise LoadError(
            f"cannot load {uri}: it takes {signature}, not the environ and "
            f"start_response of WSGI (PEP 3333){hint}"
        ) from exc
    return wanted


def _takes_nothing(signature: inspect.Signature) -> bool:
    try:
        signature.bind()
    except TypeError:
        return False
    return True
