"""What the request layer takes for a request, in microseconds of CPU time, when asked.

For `guard`, which runs one with the sources of each side and asks them in turn: a line with
the kind of request in, a line with the figure out.
"""

from __future__ import annotations

import sys
import warnings

from api_requests import NEW_IMAGE, cpu_time, environ, webob_app

KINDS = {
    "get": lambda: environ("GET", "/images/71c675ab-d94f-49cd-a114-e12490b328d9"),
    "post": lambda: environ("POST", "/images", NEW_IMAGE.encode()),
    "404": lambda: environ("GET", "/nothing"),
}
#: Requests at a time: so few that whatever disturbs the machine disturbs both sides.
COUNT = 200


def main() -> None:
    """Answers until nobody asks any more."""
    # webob imports cgi, whose end Python 3.11 and 3.12 announce.
    warnings.simplefilter("ignore")
    import wsgi_api

    app = webob_app(wsgi_api)
    for make in KINDS.values():
        cpu_time(app, make, COUNT)
    for line in sys.stdin:
        print(cpu_time(app, KINDS[line.strip()], COUNT), flush=True)


if __name__ == "__main__":
    main()
