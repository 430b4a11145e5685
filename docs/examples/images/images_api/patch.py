"""JSON Patch (RFC 6902) for flat documents: add, replace and remove of properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class MalformedPatch(ValueError):
    """The document is not a patch, or uses what is not supported."""


class PatchConflict(ValueError):
    """The patch does not fit the document that it should change."""


def apply(patch: object, document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `document` as `patch` changes it: all of its operations or none.

    Raises `MalformedPatch`, and `PatchConflict` for a property that is not there.
    """
    if not isinstance(patch, list):
        raise MalformedPatch("a patch is an array of operations")
    result = dict(document)
    for number, operation in enumerate(patch):
        if not isinstance(operation, dict):
            raise MalformedPatch(f"operation {number} is not an object")
        place = f"operation {number}"
        key = _key(place, operation.get("path"))
        match operation.get("op"):
            case "add":
                result[key] = _value(place, operation)
            case "replace":
                _require(place, result, key)
                result[key] = _value(place, operation)
            case "remove":
                _require(place, result, key)
                del result[key]
            case _:
                raise MalformedPatch(f"{place}: op has to be add, replace or remove")
    return result


def _value(place: str, operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise MalformedPatch(f"{place} has no value")
    return operation["value"]


def _require(place: str, document: Mapping[str, Any], key: str) -> None:
    if key not in document:
        raise PatchConflict(f"{place}: there is no property {key}")


def _key(place: str, path: object) -> str:
    # RFC 6901: "/name", with ~1 for a slash and ~0 for a tilde, decoded in this order.
    if not isinstance(path, str) or not path.startswith("/") or "/" in path[1:]:
        raise MalformedPatch(f"{place}: path has to name one property")
    return path[1:].replace("~1", "/").replace("~0", "~")
