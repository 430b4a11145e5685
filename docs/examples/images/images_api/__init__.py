"""An image registry: a small service on wsgi-server, wsgi-api and wsgi-paste.

Start reading in `api`: it has the routes. `images` and `content` hold what they do,
`catalogue` and `files` keep the metadata and the bytes.
"""
