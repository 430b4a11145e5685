"""Keep the message catalogues: collect messages, update the .po files, compile them.

    python packages/wsgi-api/catalogue.py

Needs Babel. Run it after a message was added or a translation changed, and commit the
.po and .mo files together; a test compares them with the sources.
"""

from __future__ import annotations

import ast
import io
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parent / "src" / "wsgi_api"
LANGUAGES = ("de", "es", "fr", "ja", "pt_BR", "zh_CN")

UNTOLD = (
    b'"PO-Revision-Date',
    b'"POT-Creation-Date',
    b'"Project-Id-Version',
    b'"Report-Msgid-Bugs-To',
    b'"Last-Translator',
    b'"Language-Team',
    b'"Generated-By',
)

# What json.JSONDecodeError says: the reasons in "not valid JSON: ...".
JSON_REASONS = (
    "Expecting value",
    "Expecting ',' delimiter",
    "Expecting ':' delimiter",
    "Expecting property name enclosed in double quotes",
    "Extra data",
    "Illegal trailing comma before end of array",
    "Illegal trailing comma before end of object",
    "Invalid \\escape",
    "Invalid \\uXXXX escape",
    "Invalid control character at",
    "Unexpected UTF-8 BOM (decode using utf-8-sig)",
    "Unterminated string starting at",
)


def own_messages() -> Iterator[str]:
    """Returns the messages in the sources: the literal arguments of Text()."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Text":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    yield str(first.value)


def standard_messages() -> Iterator[str]:
    """Returns webob's own explanations, and the templates that stand for one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from webob import exc
    default = exc.WSGIHTTPException.body_template_obj
    for code in sorted(exc.status_map):
        error = exc.status_map[code]
        if code >= 400:
            template = error.body_template_obj
            yield error.explanation if template is default else template.template


def messages() -> list[str]:
    """Returns every message that has to be translated, in a stable order."""
    return list(dict.fromkeys([*own_messages(), *standard_messages(), *JSON_REASONS]))


def po_path(language: str) -> Path:
    return PACKAGE / "locale" / language / "LC_MESSAGES" / "wsgi_api.po"


def read(language: str) -> Catalog:
    with po_path(language).open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def updated(language: str) -> Catalog:
    """Returns the catalogue of a language with today's messages, and no others."""
    catalog = Catalog(
        locale=language,
        project="wsgi-api",
        header_comment=f"# Messages of wsgi-api in {language}.",
        fuzzy=False,
    )
    old = read(language) if po_path(language).exists() else Catalog(locale=language)
    for message in messages():
        known = old.get(message)
        catalog.add(message, string=known.string if known else "", flags=())
    return catalog


def po_bytes(catalog: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=88, omit_header=False)
    # Dates, versions and names without a person behind them only make differences.
    lines = buffer.getvalue().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(UNTOLD))


def mo_bytes(catalog: Catalog) -> bytes:
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def main() -> int:
    missing = 0
    for language in LANGUAGES:
        catalog = updated(language)
        path = po_path(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(po_bytes(catalog))
        path.with_suffix(".mo").write_bytes(mo_bytes(read(language)))
        empty = sum(1 for message in catalog if message.id and not message.string)
        print(f"{language}: {len(catalog)} messages, {empty} not translated")
        missing += empty
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
