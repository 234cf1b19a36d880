"""Failure drills: runs of `annotate` that lose processes at random moments, and the count of what is left."""
