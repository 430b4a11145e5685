"""`--check-config`: all that a start goes through, and nothing is served."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING

from wsgi_server._process.checks import examine
from wsgi_server._process.service import Service
from wsgi_server._process.service import check as check_together
from wsgi_server._system import forks, unpatched
from wsgi_server._system.platform import HAS_FORK
from wsgi_server.errors import ExitStatus, ServerError

from . import configuration
from .arguments import PROG, complain

if TYPE_CHECKING:
    import argparse

    from .application import Application

LOG = logging.getLogger(__name__)


def check(arguments: argparse.Namespace) -> int:
    """Says what is fine and what is not tried; returns the status that a start would have.

    Raises the `ServerError` that a start would end with. Each of several applications is
    loaded in a process of its own where the system forks, as it would be served.
    """
    applications = configuration.read(arguments)
    services = [_service(application) for application in applications]
    check_together(services)
    if len(services) == 1 or not HAS_FORK:
        before = sys.argv[:]
        try:
            for service in services:
                _examine(service)
        finally:
            sys.argv[:] = before
        return ExitStatus.OK
    ends = [_examine_apart(service) for service in services]
    return next(filter(None, ends), ExitStatus.OK)


def _service(application: Application) -> Service:
    settings = application.settings
    return Service(application.name, settings, application.load, application.around)


def _examine(service: Service) -> None:
    untried = list(examine(service))
    print(f"{PROG}: the configuration and {service.name} are fine")
    for what in untried:
        print(f"{PROG}: not tried: {what}")


def _examine_apart(service: Service) -> int:
    sys.stdout.flush()
    pid = forks.fork()
    if pid:
        return os.waitstatus_to_exitcode(unpatched.waitpid(pid, 0)[1])
    status = int(ExitStatus.FAILURE)
    try:
        _examine(service)
        status = ExitStatus.OK
    except ServerError as exc:
        if service.settings.debug:
            traceback.print_exception(exc)
        complain(f"{service.name}: {exc}")
        status = exc.exit_status
    # The boundary to a process that may not fall back into its parent's stack.
    except BaseException:
        LOG.exception("%s: an unforeseen fault", service.name)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
