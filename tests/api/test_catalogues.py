"""The message catalogues: complete, compiled, and shipped."""

from __future__ import annotations

import gettext
import importlib.util
import re
import string
import sys
from pathlib import Path
from types import ModuleType

import pytest
import wsgi_api
from wsgi_api import _i18n

pytest.importorskip("babel")
_SCRIPT = Path(__file__).parents[2] / "packages" / "wsgi-api" / "catalogue.py"
_LANGUAGES = ("de", "es", "fr", "ja", "pt_BR", "zh_CN")
_PLACES = re.compile(r"%\(\w+\)[sd]|\$\{\w+\}")


@pytest.fixture(scope="module")
def catalogue() -> ModuleType:
    spec = importlib.util.spec_from_file_location("catalogue", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_languages_are_on_offer(catalogue: ModuleType) -> None:
    assert catalogue.LANGUAGES == _LANGUAGES
    assert set(_i18n.available_languages()) == {"en_US", *_LANGUAGES}


@pytest.mark.parametrize("language", _LANGUAGES)
def test_every_message_is_translated_with_its_places(
    catalogue: ModuleType, language: str
) -> None:
    found = catalogue.read(language)
    assert len(found) == len(catalogue.messages())
    for message in catalogue.messages():
        translated = found.get(message).string
        assert translated, message
        # What a translator may leave out of webob's templates is nothing either.
        assert sorted(_PLACES.findall(translated)) == sorted(_PLACES.findall(message))
        if sys.version_info >= (3, 11):
            assert (
                string.Template(translated).get_identifiers()
                == string.Template(message).get_identifiers()
            )


@pytest.mark.parametrize("language", _LANGUAGES)
def test_the_compiled_catalogue_is_that_of_its_source(
    catalogue: ModuleType, language: str
) -> None:
    directory = Path(wsgi_api.__file__).parent / "locale"
    compiled = gettext.translation("wsgi_api", directory, [language])
    source = catalogue.read(language)
    for message in catalogue.messages():
        assert compiled.gettext(message) == source.get(message).string
