"""From a text in a paste file to the object that it names."""

from __future__ import annotations

import importlib
import re
from typing import Any

from .errors import ImportFailed, InvalidSetting

# Extras stand behind entry points of old, and mean nothing to whoever imports one.
_SPEC = re.compile(
    r"(?P<module>\w+(\.\w+)*)\s*:\s*(?P<attribute>\w+(\.\w+)*)(\s*\[.*\])?"
)
_DOTTED = re.compile(r"(?P<module>\w+(\.\w+)*)\.(?P<attribute>\w+)")


def import_callable(spec: str, *, key: str | None = None) -> Any:
    """Returns what ``spec`` names: ``module:attribute``, or dots throughout.

    White space and newlines around it do not matter (ConfigParser gives a value that
    begins on the next line a leading newline). Raises ``InvalidSetting`` for another
    form and for what cannot be called, ``ImportFailed`` when there is nothing of that
    name; what the module itself raises while it is imported passes through.
    """
    text = spec.strip()
    match = _SPEC.fullmatch(text) or _DOTTED.fullmatch(text)
    if match is None:
        raise InvalidSetting(f"{text!r} is not of the form module:callable", key=key)
    try:
        found: Any = importlib.import_module(match["module"])
    except ImportError as exc:
        raise ImportFailed(f"cannot import {text}: {exc}", key=key) from exc
    for name in match["attribute"].split("."):
        try:
            found = getattr(found, name)
        except AttributeError as exc:
            raise ImportFailed(f"cannot import {text}: {exc}", key=key) from exc
    if not callable(found):
        kind = type(found).__name__
        raise InvalidSetting(f"{text} is of type {kind}, not a callable", key=key)
    return found
