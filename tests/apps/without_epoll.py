"""`python -m apps.without_epoll ARGS...`: `wsgi-server` as on a platform without epoll."""

from __future__ import annotations

import os
import select
import sys

del select.epoll, os.eventfd
# Eventlet imports `select` a second time, and finds it there again.
os.environ["EVENTLET_HUB"] = "poll"

from wsgi_server.__main__ import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
