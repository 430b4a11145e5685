"""What fields of a request ask for (RFC 9110): parts, conditions, codings, languages."""
