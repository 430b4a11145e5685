"""Factories that hand a ``ConfigOpts`` to the applications and filters of a paste file.

PasteDeploy knows nothing of oslo.config: it imports ``module:attribute`` and calls what
it finds with the settings of the section. The factories here are what it finds. They
import the real constructor, named by the section's ``KEY``, and add the ``ConfigOpts``
of the load that is under way. That is kept in a context variable, so loads in different
threads or greenlets do not see each other, and a load inside another gives way to it
again.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

from ._imports import import_callable
from .errors import MissingSetting

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from oslo_config import cfg

_confs: ContextVar[tuple[cfg.ConfigOpts, ...]] = ContextVar("wsgi_paste_confs")


class BasePasteFactory(abc.ABC):
    """Base of paste application and filter factories; ``conf`` goes to what they make.

    Subclasses set ``KEY``, the setting that names the callable, and define
    ``__call__``.
    """

    KEY: ClassVar[str | None] = None

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.conf = conf

    @abc.abstractmethod
    def __call__(self, global_conf: dict[str, str] | None, **local_conf: str) -> Any:
        """Follows the PasteDeploy factory protocol: returns what the section makes."""

    def _import_factory(self, local_conf: dict[str, str]) -> Callable[..., Any]:
        if self.KEY is None:
            raise MissingSetting(f"{type(self).__name__}.KEY is not set: name the key")
        # Taken out, so that constructors may have a signature without it.
        spec = local_conf.pop(self.KEY, None)
        if spec is None:
            raise missing_key(self.KEY)
        factory: Callable[..., Any] = import_callable(spec, key=self.KEY)
        return factory


def missing_key(key: str) -> MissingSetting:
    """Returns the error of a section that lacks the ``KEY`` of its factory."""
    return MissingSetting(
        f"this setting is missing: write {key} = module:callable", key=key
    )


class AppFactory(BasePasteFactory):
    """Makes the application that ``KEY`` names, calling it as ``(conf, **settings)``.

    ::

        [app:main]
        paste.app_factory = wsgi_paste:app_factory
        wsgi_paste.app_factory = myservice.api:make_app
    """

    KEY: ClassVar[str | None] = "wsgi_paste.app_factory"

    def __call__(self, global_conf: dict[str, str] | None, **local_conf: str) -> Any:
        """Follows the ``paste.app_factory`` protocol: returns the application.

        Raises ``wsgi_paste.errors.LoadError`` when ``KEY`` is missing or names nothing
        that can be imported.
        """
        factory = self._import_factory(local_conf)
        return factory(self.conf, **local_conf)


class FilterFactory(AppFactory):
    """Makes the filter that ``KEY`` names, calling it as ``(app, conf, **settings)``.

    ::

        [filter:audit]
        paste.filter_factory = wsgi_paste:filter_factory
        wsgi_paste.filter_factory = myservice.audit:AuditFilter
    """

    KEY: ClassVar[str | None] = "wsgi_paste.filter_factory"

    def __call__(
        self, global_conf: dict[str, str] | None, **local_conf: str
    ) -> Callable[[WSGIApplication], Any]:
        """Follows the ``paste.filter_factory`` protocol; raises as ``AppFactory``."""
        factory = self._import_factory(local_conf)

        def make_filter(app: WSGIApplication) -> Any:
            return factory(app, self.conf, **local_conf)

        return make_filter


def app_factory(global_conf: dict[str, str] | None, **local_conf: str) -> Any:
    """Calls an ``AppFactory`` with the conf of the load under way; for ini files."""
    return AppFactory(current_conf())(global_conf, **local_conf)


def filter_factory(
    global_conf: dict[str, str] | None, **local_conf: str
) -> Callable[[WSGIApplication], Any]:
    """Calls a ``FilterFactory`` with the conf of the load under way; for ini files."""
    return FilterFactory(current_conf())(global_conf, **local_conf)


def setup_paste_factories(conf: cfg.ConfigOpts) -> None:
    """Lets ``app_factory`` and ``filter_factory`` work with ``conf`` from here on.

    For those who call PasteDeploy themselves; ``paste_deploy_app`` needs no set-up.
    Holds for this thread or greenlet until ``teardown_paste_factories``; calls may be
    nested.
    """
    _confs.set((*_confs.get(()), conf))


def teardown_paste_factories() -> None:
    """Undoes the latest ``setup_paste_factories``, or raises ``RuntimeError``."""
    confs = _confs.get(())
    if not confs:
        raise RuntimeError("teardown_paste_factories without setup_paste_factories")
    _confs.set(confs[:-1])


def current_conf() -> cfg.ConfigOpts:
    """Returns the ``ConfigOpts`` of the load under way.

    Raises ``wsgi_paste.errors.MissingSetting`` outside ``paste_deploy_app`` and of
    ``setup_paste_factories``.
    """
    confs = _confs.get(())
    if not confs:
        raise MissingSetting(
            "no ConfigOpts to pass on: load the file with wsgi_paste.paste_deploy_app, "
            "or call setup_paste_factories(conf) before PasteDeploy"
        )
    return confs[-1]
