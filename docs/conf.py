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
# What stands in single backticks in a docstring is a name or a value, and shown as one.
default_role = "code"
exclude_patterns = ["_build", "examples/*/README.md"]
html_theme = "furo"
html_title = f"wsgi-stack {version}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"

nitpicky = True
nitpick_ignore_regex = [
    # The libraries beneath us publish inventories that a build without a network cannot
    # read; a name of our own that does not resolve is still a fault.
    ("py:.*", r"(?!wsgi_(server|api|paste|stack)\b).*"),
    # Type variables and aliases, which annotations show and autodoc has no page for.
    ("py:class", r"wsgi_\w+\._.*"),
    ("py:class", r"wsgi_api\.errors\.AnyException"),
    ("py:class", r"wsgi_server\.hooks\.(Hook|PostFork)"),
]
