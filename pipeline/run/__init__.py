"""One run: set-up, fingerprint, the work."""
