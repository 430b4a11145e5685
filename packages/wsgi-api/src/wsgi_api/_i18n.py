"""Messages of this package that wait for the language of the client.

oslo.i18n makes messages lazy only where the whole process asked for it
(``enable_lazy``). What a client reads must follow ``Accept-Language`` in every
process, so our own messages are always lazy. They remain ordinary strings, in
English, for everybody who does not ask for a translation.
"""

from __future__ import annotations

import functools
import gettext
import os
from collections.abc import Mapping
from pathlib import Path

import oslo_i18n

DOMAIN = "wsgi_api"


class Text(str):
    """An English message that can be rendered in another language later."""

    __slots__ = ("msgid", "params")

    msgid: str
    params: Mapping[str, object] | None

    def __new__(cls, msgid: str, params: Mapping[str, object] | None = None) -> Text:
        text = super().__new__(cls, msgid % params if params else msgid)
        text.msgid = msgid
        text.params = params
        return text

    def filled(self, **params: object) -> Text:
        """Returns the message with its ``%(name)s`` places filled."""
        return Text(self.msgid, params)

    def translation(self, locale: str | None = None) -> str:
        """Returns the message in ``locale``; in English where there is none."""
        translated = _catalogue(locale).gettext(self.msgid)
        if not self.params:
            return translated
        return translated % {
            name: translate(value, locale) for name, value in self.params.items()
        }


def translate(value: object, locale: str | None) -> object:
    """Returns ``value`` in ``locale`` where it is a message that can be translated.

    Messages of oslo.i18n and our own are translated; everything else comes back
    unchanged, so that it is safe to hand in anything.
    """
    if type(value) is str or value is None:
        return value
    if isinstance(value, Text):
        return value.translation(locale)
    return oslo_i18n.translate(value, locale)


def translate_standard(explanation: str, locale: str | None) -> str:
    """Returns one of webob's own explanations in ``locale``, if we know it."""
    return _catalogue(locale).gettext(explanation)


def available_languages() -> list[str]:
    """Returns the locales that this package has a catalogue for."""
    return _languages_in(_directory())


def _directory() -> str:
    # The variable oslo.i18n reads for a domain: distributions move catalogues.
    return os.environ.get("WSGI_API_LOCALEDIR") or str(Path(__file__).parent / "locale")


@functools.lru_cache(maxsize=8)
def _languages_in(directory: str) -> list[str]:
    found = Path(directory).glob(f"*/LC_MESSAGES/{DOMAIN}.mo")
    return ["en_US", *sorted(path.parent.parent.name for path in found)]


# Bounded because the locale of a request can reach us unchecked.
@functools.lru_cache(maxsize=64)
def _load(directory: str, locale: str) -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, directory, [locale], fallback=True)


def _catalogue(locale: str | None) -> gettext.NullTranslations:
    if not locale:
        return _ENGLISH
    return _load(_directory(), locale)


_ENGLISH = gettext.NullTranslations()
