"""Loading applications: for services, and for the ``wsgi-server`` command.

``paste_deploy_app`` leaves exceptions of a service's own factories as they are, because
services handle them by type. ``load_config`` and ``load_egg`` are called by a command
that prints one line, so there a factory's error gets its place in the file as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from oslo_config import cfg
from paste.deploy import loadwsgi

from ._contexts import egg_context
from ._factories import setup_paste_factories, teardown_paste_factories
from ._ini import IniLoader, as_load_error, split_name
from .errors import LoadError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def paste_deploy_app(
    paste_config_file: str | os.PathLike[str],
    app_name: str | None,
    conf: cfg.ConfigOpts,
) -> WSGIApplication:
    """Returns the application ``app_name`` (``main`` when None) of a paste file.

    ``conf`` is passed to the applications and filters of ``app_factory`` and
    ``filter_factory``. Any number of threads may load at once, and a factory may load
    another file. A relative path starts at the current directory. Values of the file
    follow ConfigParser: ``%%`` is a percent sign, ``%(here)s`` the file's directory.

    Raises ``wsgi_paste.errors.LoadError`` for faults of the file. Every such error is
    also a ``LookupError``, ``ValueError``, ``ImportError`` or ``OSError``. What
    factories raise passes through, with a note (PEP 678) of the section.
    """
    setup_paste_factories(conf)
    try:
        context = IniLoader(os.fspath(paste_config_file)).get_context(
            loadwsgi.APP, app_name or "main"
        )
        return context.create()  # type: ignore[no-any-return]  # paste has no types
    finally:
        teardown_paste_factories()


def load_config(uri: str, conf: cfg.ConfigOpts) -> WSGIApplication:
    """Loads ``config:`` URIs: an entry point of ``wsgi_server.app_loaders``.

    ``uri`` is ``path/to/api-paste.ini#name``; without ``#name`` it is ``main``. A
    relative path is looked for in the current directory, then among oslo.config's
    directories. Raises ``wsgi_paste.errors.LoadError``.
    """
    path, name = split_name(uri, lambda path: os.path.isfile(_find(path, conf)))
    with _factory_errors(f"{path}: [{name or 'main'}]"):
        return paste_deploy_app(_find(path, conf), name, conf)


def load_egg(uri: str, conf: cfg.ConfigOpts) -> WSGIApplication:
    """Loads ``egg:`` URIs: an entry point of ``wsgi_server.app_loaders``.

    ``uri`` is ``distribution#name``, an entry point ``name`` (else ``main``) of one of
    the groups that PasteDeploy knows. Raises ``wsgi_paste.errors.LoadError``.
    """
    distribution, _, name = uri.partition("#")
    setup_paste_factories(conf)
    try:
        with _factory_errors(f"egg:{uri}"):
            context = egg_context(loadwsgi.APP, distribution, name or None, None)
            return context.create()  # type: ignore[no-any-return]  # paste has no types
    finally:
        teardown_paste_factories()


def _find(path: str, conf: cfg.ConfigOpts) -> str:
    if os.path.isabs(path) or os.path.exists(path):
        return path
    try:
        found: Any = conf.find_file(path)
    except cfg.NotInitializedError:  # nothing parsed, so no directories either
        found = None
    return found or path


@contextmanager
def _factory_errors(place: str) -> Iterator[None]:
    try:
        yield
    except LoadError:
        raise
    except (LookupError, ValueError, ImportError, OSError, TypeError, cfg.Error) as exc:
        # These families are printed without a traceback, so the line must say where. A
        # TypeError is a setting that the factory's signature does not know, a cfg.Error
        # an option that nobody registered. Any other exception is a bug, and its
        # traceback tells more than we could.
        raise as_load_error(exc, place) from exc
