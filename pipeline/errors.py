"""What goes wrong before the first image is touched."""

from __future__ import annotations


class UsageError(Exception):
    """The user can put it right: an input, an output, a configuration. One clear line; exit code 2."""


class NothingRanError(Exception):
    """The work could not run at all: no shard was committed. One clear line; exit code 3."""
