"""The combination of wsgi-server, wsgi-api and wsgi-paste.

Nothing is here but the drop-in modules: ``from wsgi_stack import glance as wsgi`` gives
a service what ``glance.common.wsgi`` was, ``from wsgi_stack import heat as wsgi`` what
``heat.common.wsgi`` was.
"""

__version__ = "0.1.0"
