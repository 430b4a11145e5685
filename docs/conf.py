"""How Sphinx builds the documentation: `nox -s docs`."""

from __future__ import annotations

from importlib import metadata

project = "wsgi-stack"
author = "The wsgi-stack maintainers"
version = release = metadata.version("wsgi-stack")

extensions = [
    "myst_parser",
    "oslo_config.sphinxext",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
]
exclude_patterns = ["_build", "examples/*/README.md"]
html_theme = "furo"
html_title = f"wsgi-stack {version}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"

nitpicky = True
# The libraries beneath us publish inventories that a build without a network cannot
# read; a name of our own that does not resolve is still a fault.
nitpick_ignore_regex = [("py:.*", r"(?!wsgi_(server|api|paste|stack)\b).*")]
# Autodoc shows annotations by the names of type variables and aliases.
nitpick_ignore = [
    ("py:class", "wsgi_api.errors.AnyException"),
]
