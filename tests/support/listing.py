"""A listing as one list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.sources import Listing
from pipeline.storage import Entry


def listed(location: str | Path, **options: Any) -> list[Entry]:
    """All images of an input, in the listing's order."""
    return [entry for chunk in Listing(str(location), **options) for entry in chunk]
