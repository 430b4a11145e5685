"""The process as `wsgi_server._admin` sees it, and how its orders are carried out.

Where nobody asked for an admin side nothing of it is imported: that would be a megabyte and
a half of every server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .wanted import is_wanted

if TYPE_CHECKING:
    from wsgi_server._process.main_process import MainProcess

    from .side import AdminSide


def admin_of_workers(main: MainProcess, *facts: Any, **asked: Any) -> AdminSide | None:
    """As in `shown`; None where there is nothing to show, or nobody to show it to."""
    if not is_wanted(main.present.settings) or not main.present.forks:
        return None
    from . import shown

    return shown.admin_of_workers(main, *facts, **asked)


def admin_of_one(main: MainProcess, *facts: Any, **asked: Any) -> AdminSide | None:
    """As in `shown`; None where there is nobody to show it to."""
    if not is_wanted(main.present.settings):
        return None
    from . import shown

    return shown.admin_of_one(main, *facts, **asked)
