"""Results as the XML of the CloudFormation API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import webob

from wsgi_api import _json

# Part of what XML allows: the rest could not be written in ASCII, not even escaped.
_XML_NAME = re.compile(r"[A-Za-z_][\w.\-]*", re.ASCII)
# XML 1.0, 2.2 (Char): everything else cannot be written, not even as a reference.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;"))


class XMLResponseSerializer:
    """Writes results as the XML of the CloudFormation API.

    Members of a list become ``<member>`` elements. The values of ``json_only_keys``
    are JSON inside XML, as that API has it.

    Source: ``heat.common.serializers.XMLResponseSerializer``.
    """

    json_only_keys: ClassVar[frozenset[str]] = frozenset({"TemplateBody", "Metadata"})
    content_type: ClassVar[str] = "application/xml"

    def to_xml(self, data: Mapping[str, Any]) -> bytes:
        """Returns ``data``, whose only key names the root element, as XML, ASCII only.

        Characters that XML cannot carry are replaced by U+FFFD.

        :raises ValueError: there is no root, or a key cannot name an element
        """
        if not data:
            raise ValueError("a result needs one key, which names the root element")
        root = next(iter(data))
        text = self._element(root, data[root])
        return text.encode("ascii", "xmlcharrefreplace")

    def default(self, response: webob.Response, result: Mapping[str, Any]) -> None:
        """Puts ``result`` into ``response`` as its body, and set the content type."""
        response.content_type = self.content_type
        response.body = self.to_xml(result)

    def _element(self, key: object, value: Any) -> str:
        name = str(key)
        if not _XML_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name an XML element")
        content = self._content(name, value)
        return f"<{name}/>" if content is None else f"<{name}>{content}</{name}>"

    def _content(self, name: str, value: Any) -> str | None:
        if name in self.json_only_keys:
            return _escape(self._json_inside(value)) if value else None
        if isinstance(value, (list, tuple)):
            return self._joined(("member", item) for item in value)
        if isinstance(value, Mapping):
            return self._joined(value.items())
        return _escape(str(value))

    def _joined(self, children: Iterable[tuple[object, Any]]) -> str | None:
        return "".join(self._element(key, value) for key, value in children) or None

    @staticmethod
    def _json_inside(value: Any) -> str:
        try:
            return _json.dumps(value).decode()
        except TypeError:
            return str(value)


def _escape(text: str) -> str:
    text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    for character, reference in _REFERENCES:
        text = text.replace(character, reference)
    return text
