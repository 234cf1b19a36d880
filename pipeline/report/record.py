"""The few lines of run.json that a person reads first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values, in reading order."""
    return [(name, str(value)) for name, value in run.items() if not isinstance(value, dict | list)]
