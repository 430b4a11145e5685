"""Exceptions, their translation, and the record they leave."""

from __future__ import annotations

import copy
import logging
import pickle
import sys
from typing import Any

import pytest
import webob.exc
from wsgi_api import Request, log_exception, translate_exception, translate_for
from wsgi_api._i18n import Text, translate


def test_everything_that_a_client_reads_is_translated() -> None:
    class Zz(Text):
        def translation(self, locale: str | None = None) -> str:
            return f"{locale}:{self}"

    exc: Any = webob.exc.HTTPBadRequest(
        detail=Zz("detail"), explanation=Zz("explanation"), body_template=Zz("body")
    )
    assert translate_exception(exc, "zz") is exc
    assert exc.explanation == "zz:explanation"
    assert exc.detail == "zz:detail"
    assert exc.body_template == "zz:body"
    assert exc.message == "zz:detail"


def test_the_body_that_is_sent_is_the_translated_template() -> None:
    class Zz(Text):
        def translation(self, locale: str | None = None) -> str:
            return f"{locale}:{self}"

    exc = webob.exc.HTTPBadRequest(body_template=Zz("body"))
    translate_exception(exc, "zz")
    response = Request.blank("/").get_response(exc)
    assert b"zz:body" in response.body


def test_a_message_of_the_exceptions_own_is_kept() -> None:
    class Fault(Exception):
        message = "own"

    assert translate_exception(Fault("text"), "de").message == "own"
    assert vars(translate_exception(ValueError("text"), "de"))["message"] == "text"


def test_an_explanation_may_be_any_object() -> None:
    class Service(Exception):
        pass

    exc = webob.exc.HTTPNotFound(explanation=Service("no such image"))
    translate_exception(exc, "de")
    assert "no such image" in Request.blank("/").get_response(exc).text


def test_plain_strings_stay_as_they_are() -> None:
    exc = translate_exception(webob.exc.HTTPNotFound(explanation="plain"), "de")
    assert exc.explanation == "plain"


def test_messages_of_oslo_i18n_are_translated() -> None:
    from oslo_i18n._message import Message

    message = Message("a message", domain="none")
    assert translate(message, "de") == "a message"
    assert type(translate(message, "de")) is str


def test_the_request_form_takes_the_language_of_the_request() -> None:
    class Polyglot(Request):
        def best_match_language(self) -> str | None:
            return "zz"

    class Zz(Text):
        def translation(self, locale: str | None = None) -> str:
            return f"{locale}:{self}"

    exc = webob.exc.HTTPNotFound(explanation=Zz("x"))
    assert translate_for(Polyglot.blank("/"), exc).explanation == "zz:x"


def test_a_request_without_a_language_gets_the_exception_as_it_is() -> None:
    exc = webob.exc.HTTPNotFound(explanation=Text("x"))
    assert translate_for(webob.Request.blank("/"), exc) is exc
    assert not hasattr(exc, "message")


def test_text_survives_copying() -> None:
    text = Text("%(a)s and %(b)d").filled(a="x", b=2)
    assert text == "x and 2"
    for copied in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert copied == text
        assert copied.translation("xx") == "x and 2"


def test_texts_inside_texts_are_translated_too() -> None:
    class Inner(Text):
        def translation(self, locale: str | None = None) -> str:
            return f"inner in {locale}"

    assert Text("[%(inner)s]").filled(inner=Inner("x")).translation("de") == (
        "[inner in de]"
    )


def test_log_exception_leaves_one_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        try:
            int("broken")
        except ValueError as exc:
            log_exception(exc, sys.exc_info())
    [record] = caplog.records
    assert "broken" in record.getMessage()
    assert "Traceback" in caplog.text


def test_log_exception_without_traceback(caplog: pytest.LogCaptureFixture) -> None:
    log_exception(ValueError("broken"), None)
    [record] = caplog.records
    assert record.exc_info is None
