"""plan.json: what `facegpt plan` said of a run before it began, kept in its output."""

from __future__ import annotations

import json
from typing import Any

from pipeline.errors import UsageError
from pipeline.storage.store import PLAN, Storage

FORMAT = "facegpt-plan"
NUMBERS = ("images", "seconds", "start_seconds")


def write_plan(storage: Storage, plan: dict[str, Any]) -> None:
    """Stores plan.json, in place of an earlier one."""
    storage.write(PLAN, json.dumps({"format": FORMAT, **plan}, indent=1).encode())


def read_plan(storage: Storage) -> dict[str, Any] | None:
    """Reads plan.json; None where no plan was made for this output.

    Raises:
        UsageError: it is damaged.
    """
    if not storage.exists(PLAN):
        return None
    try:
        plan = json.loads(storage.read(PLAN))
    except ValueError:
        plan = None
    sound = (
        isinstance(plan, dict)
        and plan.get("format") == FORMAT
        and all(isinstance(plan.get(name), int | float) for name in NUMBERS)
        and plan["images"] > 0
        and isinstance(plan.get("seconds_per_image"), dict)
    )
    if not sound:
        raise UsageError(
            f"{storage.uri(PLAN)} is no plan of facegpt, or damaged: remove it, or make it again (facegpt plan INPUT "
            "--output OUTPUT)"
        )
    return dict(plan)
