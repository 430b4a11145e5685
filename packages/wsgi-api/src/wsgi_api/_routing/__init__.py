"""From a method and a path to a controller: the routes, the index over them, the router."""
