"""One client: what its socket says, what its deadlines are, how it ends."""
