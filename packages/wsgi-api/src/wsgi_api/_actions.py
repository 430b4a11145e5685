"""Which attribute of an object is the method for an action.

The name of an action can come out of a URL, and an object has more than actions: what it
works with, and what its base class brings along.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from wsgi_api._bodies import JSONRequestDeserializer, JSONResponseSerializer
from wsgi_api._xml import XMLResponseSerializer

# Their methods and settings, and what a subclass makes of these, are no actions.
_BASES = (JSONRequestDeserializer, JSONResponseSerializer, XMLResponseSerializer)
_FUNCTIONS = (FunctionType, MethodType, functools.partial)
# Methods that become callable when they are looked up.
_DESCRIPTORS = (classmethod, functools.partialmethod, functools.singledispatchmethod)


class NoSuchAction(AttributeError):
    """An object has neither a method for an action nor one called ``default``."""

    def __init__(self, owner: Any, action: str | None) -> None:
        kind = type(owner).__name__
        super().__init__(f"{kind} has no method for action {action!r} and no default")
        self.owner = owner
        self.action = action


def find_action(obj: Any, name: str, default: Any = None) -> Any:
    """Returns the method of an object for an action, or ``default``.

    That is a public method of its class, or what the object has in place of one; or a
    function of the object's own, as of a module. An object that makes up its attributes
    is believed. No property is evaluated.
    """
    # Any: the stubs hold classes for unhashable.
    kind: Any = type(obj)
    is_action = _is_action_of(kind, name)
    if is_action is None:
        found = getattr(obj, name, None)
        # Other things are what the object works with, and may be callable as well.
        is_part = name in getattr(obj, "__dict__", ())
        is_action = isinstance(found, _FUNCTIONS) if is_part else _is_method(found)
    return getattr(obj, name, default) if is_action else default


def can_be_plain(obj: Any, name: str) -> bool:
    """Returns whether ``getattr`` finds nothing else than :func:`find_action` does."""
    kind: Any = type(obj)
    is_action = _is_action_of(kind, name)
    return name not in getattr(obj, "__dict__", ()) if is_action is None else is_action


def method_for(obj: Any, action: str | None) -> Callable[..., Any]:
    """Returns the method of an object for an action, or its method ``default``.

    :raises NoSuchAction: there is neither
    """
    method = find_action(obj, action) if action else None
    if method is None:
        method = getattr(obj, "default", None)
    if method is None:
        raise NoSuchAction(obj, action)
    return method  # type: ignore[no-any-return]


# Bounded: the name can be the client's.
@functools.lru_cache(maxsize=512)
def _is_action_of(kind: Any, name: str) -> bool | None:
    """Returns whether a class says so; ``None`` where it has no such attribute."""
    if name.startswith("_"):
        return False
    if name != "default" and any(
        name in vars(base) for base in _BASES if issubclass(kind, base)
    ):
        return False
    for each in kind.__mro__:
        if name in vars(each):
            return _is_method(vars(each)[name])
    return None


def _is_method(found: Any) -> bool:
    if isinstance(found, type):
        return False
    return callable(found) or isinstance(found, _DESCRIPTORS)
