"""JSON Schema for the bodies of single actions; needs the extra ``schema``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from wsgi_api._i18n import Text
from wsgi_api.errors import MalformedBody

Action = TypeVar("Action", bound=Callable[..., Any])

_MISFIT = Text("The body does not fit its schema at %(pointer)s: %(reason)s.")
_OUT_OF_RANGE = Text("number out of range")
# The reason quotes the body; more than this helps nobody.
_LONGEST_REASON = 200


def validated(
    *, schema: Mapping[str, Any], argument: str = "body"
) -> Callable[[Action], Action]:
    """Lets an action be called only with a body that fits a JSON Schema.

    ::

        class ImageController:
            @validated(schema={"type": "object", "required": ["name"]})
            def create(self, req, body):
                ...

    :param schema: of any draft that jsonschema knows; ``$schema`` names it
    :param argument: the keyword argument of the action that is checked; one that the
        request did not bring counts as ``null``
    :raises ModuleNotFoundError: where it decorates, without jsonschema
    :raises jsonschema.SchemaError: where it decorates, if the schema is none
    :raises wsgi_api.errors.MalformedBody: on a call, 400; names the JSON pointer
        (RFC 6901) of what does not fit
    """
    validator = _validator(schema)

    def decorate(action: Action) -> Action:
        @functools.wraps(action)
        def checked(*args: Any, **kwargs: Any) -> Any:
            _check(validator, kwargs.get(argument))
            return action(*args, **kwargs)

        return cast("Action", checked)

    return decorate


def _validator(schema: Mapping[str, Any]) -> Any:
    try:
        from jsonschema import validators
    except ModuleNotFoundError as exc:
        raise ModuleNotFoundError(
            "schemas need jsonschema: pip install 'wsgi-api[schema]'", name=exc.name
        ) from exc
    kind = validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def _check(validator: Any, data: Any) -> None:
    # The first one; to look for the best is to visit all that a client invented.
    try:
        error = next(validator.iter_errors(data), None)
    except (OverflowError, ValueError) as exc:
        # jsonschema computes with floats, and quotes integers of any length.
        text = _MISFIT.filled(pointer="#", reason=_OUT_OF_RANGE)
        raise MalformedBody(text) from exc
    if error is None:
        return
    # RFC 6901, 6: as a fragment, in which the whole body has a name, too.
    pointer = "#" + "".join(f"/{_token(step)}" for step in error.absolute_path)
    reason = error.message
    if len(reason) > _LONGEST_REASON:
        reason = reason[:_LONGEST_REASON] + "…"
    raise MalformedBody(_MISFIT.filled(pointer=pointer, reason=reason))


def _token(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")
