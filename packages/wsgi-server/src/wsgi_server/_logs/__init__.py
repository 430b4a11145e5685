"""The access log, the log of the server, their rotation. None of them makes a request wait."""
