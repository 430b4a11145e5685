"""The message catalogues: complete, compiled, and shipped."""

from __future__ import annotations

import gettext
import importlib.util
import re
import string
from pathlib import Path
from types import ModuleType

import pytest
import webob
import wsgi_api
from wsgi_api import _i18n
from wsgi_api._i18n import Text

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
        assert (
            list(string.Template(translated).get_identifiers())
            == list(string.Template(message).get_identifiers())
            if hasattr(string.Template, "get_identifiers")
            else True
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


def test_a_message_nobody_translated_stays_english() -> None:
    assert Text("nobody translated this").translation("de") == "nobody translated this"
    assert Text("number too long").translation("xx") == "number too long"
    assert Text("number too long").translation(None) == "number too long"
    assert Text("number too long").translation("de") == "Zahl zu lang"


def test_a_distribution_may_move_the_catalogues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WSGI_API_LOCALEDIR", str(tmp_path))
    assert _i18n.available_languages() == ["en_US"]
    assert Text("number too long").translation("de") == "number too long"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("fr-CA, en;q=0.5", "introuvable"),
        ("de-AT", "nicht gefunden"),
        ("es-MX", "No se encontró"),
        ("ja", "見つかりません"),
        ("pt-BR", "não foi encontrado"),
        ("zh-CN", "找不到"),
        ("en-GB, fr;q=0.9", "could not be found"),
        ("tlh", "could not be found"),
    ],
)
def test_the_client_is_told_in_its_language(wanted: str, said: str) -> None:
    router = wsgi_api.Router(wsgi_api.APIMapper())
    request = webob.Request.blank("/x", headers={"Accept-Language": wanted})
    assert said in request.get_response(router).text
