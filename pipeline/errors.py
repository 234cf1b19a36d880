"""Errors that end a command, and exceptions as one line of text."""

from __future__ import annotations


class UsageError(Exception):
    """Error in an input, an output or a configuration, which the user can put right: one clear line, exit code 2."""


class NothingRanError(Exception):
    """Error that kept the work from running at all, so that no shard was committed: one clear line, exit code 3."""


def describe(error: BaseException) -> str:
    """Formats an exception as one line for people."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(text.split())


def describe_with_path(error: BaseException) -> str:
    """Formats an exception as `describe` does, behind the path that it is about where it names one."""
    path = error.filename if isinstance(error, OSError) else None
    return f"{path}: {describe(error)}" if path else describe(error)
