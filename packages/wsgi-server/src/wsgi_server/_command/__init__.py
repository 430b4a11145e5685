"""Arguments and application URIs to a server that is configured."""
