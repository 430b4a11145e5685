"""What both drop-ins share: the service, its way with errors, and its log of requests.

A service catches the exceptions that it defines; look-alikes would pass its handlers
and reach the client as 500. So the drop-ins take the service's own classes, and without
the service the ones of wsgi_api.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import wsgi_server
from oslo_config import cfg
from wsgi_server.errors import ServerError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from wsgi_server.errors import ExitStatus


@functools.cache
def installed(name: str) -> Any:
    """Returns the module ``name``, or None when its distribution is not installed.

    It may be one that is still being imported: what it will hold is not there yet. An
    error inside the module is the service's own and propagates.
    """
    spec = importlib.util.find_spec(name.partition(".")[0])
    # A folder that happens to be called so is a namespace package, without an origin.
    if spec is None or spec.origin is None:
        return None
    return importlib.import_module(name)


class _Theirs:
    """A class attribute whose value the service holds, looked up when it is used.

    A service may import the drop-in while its own modules are still being imported.
    Where it is not installed the base class's value stands.
    """

    def __init__(self, module: str, value: Callable[[Any], Any]) -> None:
        self._module = module
        self._value = value

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        module = installed(self._module)
        if module is None:
            return getattr(super(self._owner, owner), self._name)
        return self._value(module)


def theirs(module: str, value: Callable[[Any], Any]) -> Any:
    """Makes a class attribute that is ``value`` of the service's ``module``."""
    return _Theirs(module, value)


@contextmanager
def start_errors(*own: type[Exception]) -> Iterator[None]:
    """Turns what the server refuses into the ``RuntimeError`` that services handle.

    A cause of a type that the service tells apart itself, one of ``own``, is raised as
    it is.
    """
    try:
        yield
    except ServerError as exc:
        if isinstance(exc.__cause__, own):
            raise exc.__cause__ from None
        raise RuntimeError(str(exc)) from exc


class _InContext(logging.LoggerAdapter):  # type: ignore[type-arg]  # 3.10 has no [Any]
    """A logger whose records carry the request's context, as oslo.log's formatters do.

    They find it by themselves only in the thread or greenlet of the request.
    """

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        """Adds the context as ``extra``."""
        context = installed("oslo_context.context")
        extra = {} if context is None else {"context": context.get_current()}
        return msg, {**kwargs, "extra": {**kwargs.get("extra", {}), **extra}}


def log_beside(
    environ: Mapping[str, Any], logger: logging.Logger, text: str, args: object
) -> None:
    """Logs at INFO without holding the request up, where the server knows how."""
    hand_over = environ.get("wsgi_server.log")
    if hand_over is None:
        logger.info(text, args)
        return
    _, kwargs = _InContext(logger, {}).process(text, {})
    hand_over(
        logger.makeRecord(
            logger.name, logging.INFO, __file__, 0, text, (args,), None, **kwargs
        )
    )


class ServiceServer(wsgi_server.BaseServer):
    """A server that refuses with the errors its service handles, and logs as it does."""

    # As eventlet.wsgi writes them, to the logger that the original gave it.
    access_logger = _InContext(logging.getLogger("eventlet.wsgi.server"), {})
    access_logger_format = (
        '{clients} - - [{date_time}] "{request}" {status} {bytes} {seconds:.6f}'
    )

    #: Causes of a refusal that the service tells apart itself.
    own_errors: ClassVar[tuple[type[Exception], ...]] = ()

    def start(self, application: WSGIApplication, default_port: int | None) -> None:
        """Serves ``application``, on ``default_port`` where no other is configured.

        Raises ``RuntimeError`` when it cannot, and what the service's own checks raise.
        """
        with start_errors(*self.own_errors):
            super().start(application, default_port)

    def configure(
        self,
        old_conf: Mapping[str, Any] | None = None,
        has_changed: Callable[[str], bool] | None = None,
    ) -> None:
        """Applies the configuration; raises ``RuntimeError`` for what does not work."""
        if old_conf is not None:
            _renew_logging(self.name)
        with start_errors(*self.own_errors):
            super().configure(old_conf, has_changed)

    def wait(self) -> ExitStatus:
        """Serves until the server is stopped; raises ``RuntimeError`` if it had to."""
        status = super().wait()
        if status:
            raise RuntimeError(f"the server ended: {status.name.lower()} (see its log)")
        return status


def _renew_logging(name: str) -> None:
    """Sets up oslo.log again, where the service uses it, as its options say now."""
    log = installed("oslo_log.log")
    if log is not None and "log_file" in cfg.CONF:
        log.setup(cfg.CONF, name)
