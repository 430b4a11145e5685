"""The process as `wsgi_server._admin` sees it, and how its orders are carried out."""
