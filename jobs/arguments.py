"""Values of options that several jobs take, parsed and bounded."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """Parses a number of things; raises argparse.ArgumentTypeError below 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def share(text: str) -> float:
    """Parses a share in 0..1; raises argparse.ArgumentTypeError outside."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return value
