"""What the bodies of single actions have to look like: JSON Schema, or any validator.

JSON Schema needs the extra ``schema``.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import webob.exc

from wsgi_api._i18n import Text
from wsgi_api.errors import MalformedBody

LOG = logging.getLogger(__name__)

Action = TypeVar("Action", bound=Callable[..., Any])

_MISFIT = Text("The body does not fit its schema at %(pointer)s: %(reason)s.")
_OUT_OF_RANGE = Text("number out of range")
_TOO_DEEP = Text("nested too deeply to be checked")
_UNCHECKABLE = Text("cannot be checked")
# The reason quotes the body; more than this helps nobody.
_LONGEST_REASON = 200
# What these hold is data, not schemas.
_DATA_KEYWORDS = frozenset({"const", "default", "enum", "examples"})


def validated(
    *,
    schema: Mapping[str, Any] | None = None,
    validator: Callable[[Any], Any] | None = None,
    argument: str = "body",
    formats: Any = False,
) -> Callable[[Action], Action]:
    """Lets an action be called only with a body that fits a JSON Schema.

    ::

        class ImageController:
            @validated(schema={"type": "object", "required": ["name"]})
            def create(self, req, body):
                ...

    Whatever goes wrong in checking a body is answered with 400: the body made it so.

    :param schema: of any draft that jsonschema knows; ``$schema`` names it
    :param validator: checks in place of a schema, such as ``Model.model_validate`` of
        pydantic or ``fastjsonschema.compile(schema)``. It is called with the body. The
        text of a ``ValueError`` is told to the client; an HTTP error is answered as it
        is; anything else is logged. What it returns the action gets in place of the
        body, unless that is ``None``
    :param argument: the keyword argument of the action that is checked; one that the
        request did not bring counts as ``null``
    :param formats: whether ``format`` is checked, too, which JSON Schema leaves open;
        or the ``jsonschema.FormatChecker`` to do it
    :raises TypeError: where it decorates, without exactly one of schema and validator
    :raises ModuleNotFoundError: where it decorates, without jsonschema
    :raises jsonschema.SchemaError: where it decorates, if the schema is none
    :raises ValueError: where it decorates, if formats of the schema cannot be checked
    :raises wsgi_api.errors.MalformedBody: on a call, 400; names the JSON pointer
        (RFC 6901) of what does not fit
    """
    if schema is not None and validator is None:
        check: Callable[[Any], Any] = _by_schema(schema, formats)
    elif validator is not None and schema is None:
        check = validator
    else:
        raise TypeError("validated() needs either a schema or a validator")

    def decorate(action: Action) -> Action:
        @functools.wraps(action)
        def checked(*args: Any, **kwargs: Any) -> Any:
            found = _call(check, kwargs.get(argument))
            if found is not None:
                kwargs[argument] = found
            return action(*args, **kwargs)

        return cast("Action", checked)

    return decorate


def _call(check: Callable[[Any], Any], body: Any) -> Any:
    try:
        return check(body)
    except webob.exc.HTTPException:
        raise
    except RecursionError as exc:
        raise _misfit("#", _TOO_DEEP) from exc
    except OverflowError as exc:
        raise _misfit("#", _OUT_OF_RANGE) from exc
    except ValueError as exc:
        raise _misfit("#", str(exc)) from exc
    except Exception as exc:
        # Foreign code, which a body made fail; perhaps it has a fault of its own.
        LOG.exception("a validator failed at the body of a request")
        raise _misfit("#", _UNCHECKABLE) from exc


def _by_schema(schema: Mapping[str, Any], formats: Any) -> Callable[[Any], None]:
    try:
        from jsonschema import validators
    except ModuleNotFoundError as exc:
        raise ModuleNotFoundError(
            "schemas need jsonschema: pip install 'wsgi-api[schema]'", name=exc.name
        ) from exc
    kind = validators.validator_for(schema)
    kind.check_schema(schema)
    checker = kind.FORMAT_CHECKER if formats is True else formats or None
    if checker is not None:
        unknown = sorted(set(_formats_of(schema)) - set(checker.checkers))
        if unknown:
            raise ValueError(
                f"the formats {', '.join(unknown)} cannot be checked: give a "
                "FormatChecker that can, or pip install 'jsonschema[format-nongpl]'"
            )
    validator = kind(schema, format_checker=checker)

    def check(body: Any) -> None:
        try:
            # The first one; to look for the best is to visit all that a client
            # invented.
            error = next(validator.iter_errors(body), None)
        except ValueError as exc:
            # It quotes integers of any length.
            raise _misfit("#", _OUT_OF_RANGE) from exc
        if error is not None:
            # RFC 6901, 6: as a fragment, in which the whole body has a name, too.
            pointer = "#" + "".join(f"/{_token(step)}" for step in error.absolute_path)
            raise _misfit(pointer, error.message)

    return check


def _formats_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("format"), str):
            yield schema["format"]
        for keyword, value in schema.items():
            if keyword not in _DATA_KEYWORDS:
                yield from _formats_of(value)
    elif isinstance(schema, (list, tuple)):
        for each in schema:
            yield from _formats_of(each)


def _misfit(pointer: str, reason: str) -> MalformedBody:
    if len(reason) > _LONGEST_REASON:
        reason = reason[:_LONGEST_REASON] + "…"
    return MalformedBody(_MISFIT.filled(pointer=pointer, reason=reason))


def _token(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")
