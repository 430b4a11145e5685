"""Messages in the language of the client, as they are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import webob
import wsgi_api
from wsgi_api import _i18n
from wsgi_api._i18n import Text


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
