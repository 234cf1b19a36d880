"""What goes wrong before the first image is touched."""

from __future__ import annotations


class UsageError(Exception):
    """The user can put it right: an input, an output, a configuration. One clear line; exit code 2."""


class NothingRanError(Exception):
    """The work could not run at all: no shard was committed. One clear line; exit code 3."""


def located(error: BaseException) -> str:
    """As `describe`, behind the file that it is about, where the error names one."""
    name = error.filename if isinstance(error, OSError) else None
    return f"{name}: {describe(error)}" if name else describe(error)


def describe(error: BaseException) -> str:
    """An exception as one line for people."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())
