"""Learning from photos that nobody has labelled."""
