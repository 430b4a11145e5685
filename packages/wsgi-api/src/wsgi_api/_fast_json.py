"""Faster JSON for the services that opt in; needs the extra ``fast``."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from wsgi_api._json import dumps, lasting

_LIBRARIES = ("orjson", "msgspec")


def fast_encoder(library: str | None = None) -> Callable[[Any], bytes]:
    """Returns an encoder for :class:`~wsgi_api.JSONResponseSerializer`.

    It takes the same values as the standard one and differs in what it writes:

    * no space after ``,`` and ``:``,
    * UTF-8 instead of escapes,
    * dates as RFC 3339: a fraction only where there is one, and the offset of those
      that know their time zone (orjson writes ``+00:00``, msgspec ``Z``),
    * msgspec writes bytes as base64,
    * msgspec writes dataclasses, attrs classes and its own structs field by field, all
      fields, without asking their ``to_dict``.

    What the library refuses, such as half a surrogate pair, to orjson an integer of more
    than 64 bits, to msgspec a key ``True`` or ``None``, makes the standard encoder write
    the whole result.

    :param library: ``orjson`` or ``msgspec``; left out, the first that is installed
    :raises ModuleNotFoundError: it is not installed
    :raises ValueError: there is no such choice
    """
    module = _chosen(library)
    if module.__name__ == "orjson":
        option = module.OPT_NON_STR_KEYS | module.OPT_PASSTHROUGH_DATACLASS
        write = functools.partial(module.dumps, default=lasting, option=option)
    else:
        write = module.json.Encoder(enc_hook=lasting).encode

    # A function, which a class attribute may be on every Python; a partial may not.
    def encode(data: Any) -> bytes:
        try:
            written: bytes = write(data)
        except (TypeError, UnicodeEncodeError):
            return dumps(data)
        return written

    return encode


def fast_decoder(library: str | None = None) -> Callable[[str], Any]:
    """Returns a decoder for :class:`~wsgi_api.JSONRequestDeserializer`.

    It reads what the standard one reads, with one difference: orjson reads integers of
    more than 64 bits as floats. What it refuses the standard one reads or explains.

    :param library: as for :func:`fast_encoder`, which raises the same
    """
    module = _chosen(library)
    decode: Callable[[str], Any] = (
        module.loads if module.__name__ == "orjson" else module.json.Decoder().decode
    )
    return decode


def _chosen(library: str | None) -> Any:
    if library is not None and library not in _LIBRARIES:
        raise ValueError(f"library is none of {', '.join(_LIBRARIES)}")
    names = (library,) if library else _LIBRARIES
    for name in names:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        if name == "msgspec":
            importlib.import_module("msgspec.json")
        return module
    raise ModuleNotFoundError(
        f"no {' or '.join(names)}: pip install 'wsgi-api[fast]'", name=names[0]
    )
